#!/bin/bash
# A sweep on a few nodes of a Slurm cluster:  sbatch docs/cluster/slurm.sh
# Submitted again, it goes on where it was.
#SBATCH --job-name=elbosweep
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=08:00:00
# Two minutes before the time is over, so that the sweep can stop cleanly.
#SBATCH --signal=B:TERM@120
set -euo pipefail

NAME=${NAME:-course}
RUNS=${RUNS:-$SLURM_SUBMIT_DIR/runs} # on the shared file system
PORT=$((20000 + SLURM_JOB_ID % 20000))

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')

srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --node-ip-address="$address" --port="$PORT" --num-cpus="$SLURM_CPUS_PER_TASK" \
    --include-dashboard=false --block &
sleep 15
if ((${#nodes[@]} > 1)); then
    srun --overlap --nodes=$((${#nodes[@]} - 1)) --ntasks=$((${#nodes[@]} - 1)) --exclude="$head" \
        ray start --address="$address:$PORT" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
fi
sleep 15

# The batch script runs on the first node, so the driver does too.
if [[ -f "$RUNS/$NAME/spec.yaml" ]]; then
    elbosweep resume "$NAME" --runs-dir "$RUNS" --address "$address:$PORT" &
else
    elbosweep run course --name "$NAME" --runs-dir "$RUNS" --address "$address:$PORT" &
fi
sweep=$!
trap 'kill -INT "$sweep"' TERM
code=0
wait "$sweep" || code=$?
# A trap ends the first wait early.
while kill -0 "$sweep" 2>/dev/null; do
    code=0
    wait "$sweep" || code=$?
done
exit "$code"
