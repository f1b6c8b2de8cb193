"""Spreadsheets, text files and YAML to jobs: every row checked before a cent is spent.

    open_manifest   opens a path (or `-`); raises for what is wrong with its settings
    Manifest        its settings, its columns, and `rows()`: jobs and bad rows, streaming
    RowOptions      what the command line says about how rows become jobs
    SchemaSource    source of models' schemas
    BadRow          a row that cannot become a job, with every reason
    LeftOut         a row that is not selected, or switched off, with the names of its jobs
    Selection       a parsed `--select`

A row passes these files, in this order, whatever its format:

    manifest        asks each of its files for records
    formats/        reads records: one row's number, header and cells
    rows            makes each record a draft, a draft its jobs
    column_mapper   says what each column means, once per header and model
    model_binding   brings each value to the type of the model's schema, and checks the input
    job_ids         names each job

Nothing that happens to a job later belongs in here.
"""
