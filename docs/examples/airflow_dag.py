"""A batch every night with Airflow: the summary goes to XCom, a run that is not done fails."""

from datetime import UTC, datetime

from airflow.decorators import dag, task
from airflow.exceptions import AirflowException

from batchgen import Batch, LockHeld


@dag(
    schedule="30 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
)
def spring_campaign():
    """Run spring.csv; what is left is resumed by the next night."""

    @task(retries=0)
    def generate() -> dict:
        batch = Batch("/data/spring.csv", model="bytedance/dreamina-4-0/text-to-image")
        try:
            summary = batch.run(max_cost="20/day", max_runtime="5h")
        except LockHeld as error:
            raise AirflowException(str(error)) from error
        if summary.exit_code not in (0, 1):
            raise AirflowException("; ".join(summary.reasons))
        return {"jobs": dict(summary.jobs), "cost_usd": summary.cost_usd}

    generate()


spring_campaign()
