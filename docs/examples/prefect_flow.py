"""A batch as a Prefect flow: each finished job is logged as it ends."""

import asyncio

from prefect import flow, get_run_logger

from batchgen import Batch


@flow
async def generate(manifest: str, model: str) -> dict:
    """Run a manifest; cancelling the flow drains the run, and the next one resumes it."""
    log = get_run_logger()
    batch = Batch(manifest, model=model)
    async for job in batch.stream(concurrency=8, max_cost="20/day"):
        log.info("%s: %s %s", job.id, job.state, job.error or "")
    summary = batch.summary
    if summary.exit_code not in (0, 1):
        raise RuntimeError("; ".join(summary.reasons))
    return {"jobs": dict(summary.jobs), "cost_usd": summary.cost_usd}


if __name__ == "__main__":
    asyncio.run(generate("spring.csv", "bytedance/dreamina-4-0/text-to-image"))
