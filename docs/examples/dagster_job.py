"""A batch as a Dagster asset: its files are the asset, its counts and cost are the metadata."""

from dagster import (
    Definitions,
    Failure,
    MaterializeResult,
    ScheduleDefinition,
    asset,
    define_asset_job,
)

from batchgen import Batch, ManifestError


@asset
def spring_pictures() -> MaterializeResult:
    """The pictures of spring.csv; only what is new or changed is paid for."""
    batch = Batch("spring.csv", model="bytedance/dreamina-4-0/text-to-image")
    try:
        summary = batch.run(max_cost="20/day")
    except ManifestError as error:
        raise Failure(description=str(error), metadata={"problems": error.total}) from error
    if summary.exit_code not in (0, 1):
        raise Failure(description="; ".join(summary.reasons))
    files = [str(path) for job in batch.jobs() for path in job.files]
    return MaterializeResult(metadata={"files": len(files), "cost_usd": summary.cost_usd})


nightly = ScheduleDefinition(
    job=define_asset_job("spring", selection=[spring_pictures]), cron_schedule="30 2 * * *"
)
definitions = Definitions(assets=[spring_pictures], schedules=[nightly])
