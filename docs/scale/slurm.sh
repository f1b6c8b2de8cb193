#!/usr/bin/env bash
# One night on Slurm: sbatch slurm.sh spring.csv
# The run is on the first node, workers are on all of them. The spreadsheet and its run directory
# must be on a file system that every node sees.
#SBATCH --job-name=batchgen
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=4
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@120
set -euo pipefail

manifest=$1
model=bytedance/dreamina-4-0/text-to-image
port=6379
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export RAY_USAGE_STATS_ENABLED=0

srun --nodes=1 --ntasks=1 --nodelist="$first" --overlap \
  ray start --head --port="$port" --num-cpus=4 --include-dashboard=false --block &
sleep 10
srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$first" --overlap \
  ray start --address="$first:$port" --num-cpus=4 --block &

# Slurm sends TERM two minutes before the end: batchgen records what is on its way, and the next job
# resumes. The token is in a file that only you can read.
batchgen run "$manifest" --model "$model" --engine ray --ray-address "$first:$port" \
  --download-workers $((SLURM_JOB_NUM_NODES * 3)) --env-file "$HOME/.runcomfy.env" --quiet &
run=$!
trap 'kill -TERM "$run"' TERM
code=0
wait "$run" || code=$?
wait "$run" || code=$? # a signal ends the first wait, not the run
exit "$code"
