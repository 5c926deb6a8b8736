"""Extrapolates measured speeds to clusters: python3 tests/bench/scale.py prints the tables of docs/scale.md.

Each constant says what it was measured on. A node is NODE_CORES cores of the measured kind; EFFICIENCY is what is left of the speed of a
core when all cores of a node are busy, an assumption, as memory is shared.
"""

NODE_CORES = 32
EFFICIENCY = 0.7
NETWORKS = {"10 Gbit/s": 10e9 / 8, "25 Gbit/s": 25e9 / 8, "100 Gbit/s": 100e9 / 8}
NODES = (8, 64, 512)
# A message of MPI between two hosts, with what the sum does around it.
MESSAGE_SECONDS = 20e-6
# Values of a bucket (libs/group/src/sum.rs).
BUCKET = 1 << 20
# Adding received gradients and copying them: bytes a second of one core.
SUM_BYTES = 2e9

# name: parameters, tokens a second of one core in training and in scoring, sequences and tokens of a batch.
MODELS = {
    # Llama of 1.07 B parameters, bf16, two cores with AVX-512 BF16: 40 pairs of 187 tokens are scored in 51.5 s. Training takes three
    # times the products, and gains 1.3 from bf16 where scoring gains 1.7.
    "1 B teacher": dict(parameters=1.07e9, score=145 / 2, train=87 / 2 / 3 * 1.3, sequences=1024, tokens=1024 * 187),
    # MiniLM-L6, f32, two cores with AVX-512: 78 pairs of 128 tokens a second are scored.
    "22 M student": dict(parameters=22.6e6, score=78 * 128 / 2, train=78 * 128 / 2 / 3, sequences=1024, tokens=1024 * 128),
}
STEPS = 10_000
# Rows a second of one core of an AMD EPYC with AVX2: `ingest --shard 1/1` (with the checksums of its files), then `ingest`, over a packed log of 1,325,000 results took 1.0
# and 3.3 seconds of CPU time, documents and index included.
READ_ROWS = 1_325_000 / 1.0
REST_ROWS = 1_325_000 / 3.3


def exchange(parameters, nodes, bytes_a_second):
    """Seconds of a sum of gradients: all-to-all of chunks, the sum of the own chunk, all-gather."""
    sent = 2 * 4 * parameters * (nodes - 1) / nodes / bytes_a_second
    messages = 2 * (nodes - 1) * max(parameters / BUCKET, 1) * MESSAGE_SECONDS
    return sent + messages + 2 * 4 * parameters / SUM_BYTES


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("| " + " | ".join(["---"] * len(head)) + " |")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def duration(seconds):
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}" if seconds >= 10 * size else f"{seconds / size:.1f} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def training():
    for name, model in MODELS.items():
        rows = []
        for nodes in (1, *NODES):
            workers = nodes * NODE_CORES
            busy = min(workers, model["sequences"])
            compute = model["tokens"] / (busy * model["train"] * EFFICIENCY)
            cells = [str(nodes), f"{busy} of {workers}", duration(compute)]
            for bytes_a_second in NETWORKS.values():
                step = compute + (exchange(model["parameters"], nodes, bytes_a_second) if nodes > 1 else 0)
                cells += [duration(step), duration(step * STEPS), f"{step * STEPS * nodes / 3600:,.0f}"]
            rows.append(cells)
        print(f"### {name}: {STEPS:,} steps of {model['sequences']} sequences, {model['tokens']:,} tokens\n")
        head = ["nodes", "busy cores", "compute a step"]
        for network in NETWORKS:
            head += [f"step, {network}", "all steps", "node-hours"]
        table(head, rows)


def scoring(pairs=100e6):
    rows = []
    for name, model in MODELS.items():
        length = model["tokens"] / model["sequences"]
        for nodes in (1, *NODES):
            a_second = nodes * NODE_CORES * model["score"] * EFFICIENCY
            seconds = pairs * length / a_second
            # The last part of each node may begin when others end.
            last = 4096 * length / (a_second / nodes)
            rows.append([name, str(nodes), duration(seconds + last), f"{(seconds + last) * nodes / 3600:,.0f}", f"{last / (seconds + last):.1%}"])
    table(["model", "nodes", "time", "node-hours", "waiting for last parts"], rows)


def ingest(impressions=10e9):
    rows = []
    for nodes in (1, *NODES):
        reading = impressions / (READ_ROWS * NODE_CORES * EFFICIENCY * nodes)
        rest = impressions / (REST_ROWS * NODE_CORES * EFFICIENCY)
        rows.append([str(nodes), duration(reading), duration(rest), duration(reading + rest), f"{(reading * nodes + rest) / 3600:,.1f}"])
    table(["nodes", "reading", "the rest, on one node", "time", "node-hours"], rows)


if __name__ == "__main__":
    training()
    scoring()
    ingest()
