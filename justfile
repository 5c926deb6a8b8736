# The pipeline file every recipe works on: just config=path/to.toml run-all
config := "pipeline.toml"
# For programs that choose the pipeline file themselves where none is named
other_config := if config == "pipeline.toml" { "" } else { "--config " + quote(config) }
# Sets the shell's $config: a first argument config=FILE is taken for the pipeline file
take_config := "config=" + quote(config) + "; case \"${1-}\" in config=*) config=\"${1#config=}\"; shift;; esac"
# Every stage but `query` is built together, so that they share what they depend on; DuckDB is compiled for `sql` alone.
build := "cargo build --release --locked " + quiet + " --workspace --exclude query --bins"
# The first build takes so long that its progress is shown.
quiet := "$([ -x " + target + "/evaluate ] && echo --quiet)"
build_query := "cargo build --release --locked --workspace --bins" + if duckdb == "" { "" } else { " --no-default-features" }
# A folder with libduckdb.so, which `sql` links instead of compiling DuckDB
duckdb := env("DUCKDB_LIB_DIR", "")
libraries := if duckdb == "" { "" } else { "LD_LIBRARY_PATH=" + quote(duckdb) + "${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" }
# Ranks that train together on this machine under mpirun, in teacher and distill: just ranks=2 teacher --set run.threads=4
ranks := "1"
build_mpi := "cargo build --release --locked --quiet --workspace --exclude query --features teacher/mpi,distill/mpi --bin teacher-mpi --bin distill-mpi"
# The program by which stages read s3:// and gs:// URLs
build_objects := "cargo build --release --locked --workspace --exclude query --features fetch_objects/object-store --bin fetch-objects"
# Sets the shell's $program to how $stage is started.
program := "program=" + target + "/$stage" + if ranks == "1" { "" } else { "; case $stage in teacher | distill) program=\"mpirun --bind-to none " + \
    "--mca oob_tcp_keepalive_time 5 --mca oob_tcp_keepalive_intvl 2 --mca oob_tcp_keepalive_probes 3 -n " + ranks + " $program-mpi\";; esac" }
run_stage := program + "; $program --config " + quote(config) + ' "$@"'
target := env("CARGO_TARGET_DIR", "target") / "release"
pipeline_stages := replace(trim(read(source_directory() / "stages/order")), "\n", " ")
# all-MiniLM-L6-v2, which `cranfield` starts from
minilm := "models/all-MiniLM-L6-v2"
# Holds SmolLM2-135M-Instruct and all-MiniLM-L6-v2, which `scifact` starts from
models := "models"
collection := "--study collection --set " + quote("teacher.base=" + absolute_path(models / "SmolLM2-135M-Instruct")) + \
    " --set " + quote("distill.base=" + absolute_path(models / "all-MiniLM-L6-v2")) + \
    " --set " + quote("retrieval.dense=" + absolute_path(models / "all-MiniLM-L6-v2"))
# Where it is another one than the pipeline files name
other_minilm := if minilm == "models/all-MiniLM-L6-v2" { "" } else { absolute_path(minilm) }
cranfield_dense := "--config configs/cranfield-retrieval.toml" + if other_minilm == "" { "" } else { " --set " + quote("retrieval.dense=" + other_minilm) }
cranfield_start := cranfield_dense + if other_minilm == "" { "" } else { " --set " + quote("distill.base=" + other_minilm) }
cranfield_three := cranfield_dense + " --set run.name=cranfield-retrieval-3 --set distill.steps=1500 --set distill.learning_rate=2e-4" + \
    " --set 'distill.keep_layers=[0, 2, 4]' --set 'distill.base={run}/../cranfield-retrieval/distill/student'"
cranfield := "--config configs/cranfield-minilm.toml"
cranfield_folds := 'evaluate.merge_runs=["cranfield-0", "cranfield-1", "cranfield-2", "cranfield-3", "cranfield-4"]'

# List the recipes
default:
    @just --list

# Run every stage of the pipeline that is not up to date
[group("pipeline")]
[positional-arguments]
run-all *options: build-stages
    {{ take_config }}; \
        for stage in {{ pipeline_stages }}; do {{ program }}; $program --config "$config" "$@" || exit $?; done

# Make a search engine's world and its click log
[group("pipeline")]
[positional-arguments]
simulate *options: build-stages
    stage=simulate; {{ run_stage }}

# Turn raw logs, documents and judgments into tables
[group("pipeline")]
[positional-arguments]
ingest *options: build-stages
    stage=ingest; {{ run_stage }}

# Make vectors of queries and documents, where the pipeline names a bi-encoder
[group("pipeline")]
[positional-arguments]
embed *options: build-stages
    stage=embed; {{ run_stage }}

# Make tokenizers and continued pre-training examples
[group("pipeline")]
[positional-arguments]
cpt *options: build-stages
    stage=cpt; {{ run_stage }}

# Pre-train and fine-tune the teacher
[group("pipeline")]
[positional-arguments]
teacher *options: build-stages
    stage=teacher; {{ run_stage }}

# Score large lists with the teacher, or any pairs: just score --model DIR --pairs FILE --out FILE
[group("pipeline")]
[positional-arguments]
score *options:
    {{ build }}
    {{ target }}/score {{ if options =~ '(^| )--model\b' { "" } else { "--config " + quote(config) } }} "$@"

# A saved encoder as ONNX for other libraries and servers: just export --model DIR --to onnx --precision int8
[group("pipeline")]
[positional-arguments]
export *options:
    @{{ build }}
    @{{ target }}/export "$@"

# Serve a student over HTTP, by the rerank APIs of TEI, Cohere and Jina: just serve --model DIR; docs/serving.md
[group("pipeline")]
[positional-arguments]
serve *options:
    @{{ build }}
    @exec {{ target }}/serve "$@"

# Distil the student
[group("pipeline")]
[positional-arguments]
distill *options: build-stages
    stage=distill; {{ run_stage }}

# Measure every system and write the report, or runs on TREC judgments: just evaluate --qrels FILE --run NAME=FILE --out FOLDER
[group("pipeline")]
[positional-arguments]
evaluate *options:
    {{ build }}
    {{ target }}/evaluate {{ if options =~ '(^| )--qrels\b' { "" } else { "--config " + quote(config) } }} "$@"

# Whether the student of run a may take the place of that of run b: just compare data/runs/a data/runs/b
[group("pipeline")]
[positional-arguments]
compare a b *options:
    @{{ build }}
    @shift 2; {{ target }}/evaluate --qrels {{ quote(b / "evaluate/trec/qrels.txt") }} --out {{ quote(a / "compared" / file_name(b)) }} --force \
        --run {{ quote(file_name(b) + "=" + b / "evaluate/trec/student.run") }} \
        --run {{ quote(file_name(a) + "=" + a / "evaluate/trec/student.run") }} "$@"

# Five-fold cross-validation on Cranfield: just minilm=/models/all-MiniLM-L6-v2 cranfield; options are for the start and the folds
[group("pipeline")]
[positional-arguments]
cranfield *options:
    {{ build }}
    for stage in {{ pipeline_stages }}; do {{ target }}/$stage {{ cranfield_start }} "$@" || exit $?; done
    for stage in {{ pipeline_stages }}; do {{ target }}/$stage {{ cranfield_three }} "$@" || exit $?; done
    for fold in 0 1 2 3 4; do for stage in {{ pipeline_stages }}; do \
        {{ target }}/$stage {{ cranfield }} --set run.name=cranfield-$fold --set ingest.split.test_fold=$fold "$@" || exit $?; \
    done; done
    {{ target }}/evaluate {{ cranfield }} --set run.name=cranfield-folds --set evaluate.interpolate=true --set {{ quote(cranfield_folds) }} "$@"

# The paper's comparisons on simulated worlds, five seeds, as docs/results.md: an hour and a half on two idle cores; resumes
[group("pipeline")]
[positional-arguments]
ablation *options:
    {{ build }}
    {{ target }}/ablation {{ other_config }} "$@"

# The method with a real LLM on a test collection: just models=DIR scifact; all comparisons: just models=DIR scifact --seeds 1,2,3
[group("pipeline")]
[positional-arguments]
scifact *options:
    {{ build }}
    {{ target }}/ablation {{ collection }} {{ other_config }} {{ if options =~ '(^| )--(only|seeds)\b' { "" } else { "--only method --seeds 1" } }} "$@"

# Have a sample of a run graded by a language model, as [grade] says: just grade --out grades.tsv
[group("pipeline")]
[positional-arguments]
grade *options:
    @{{ build }}
    @{{ target }}/grade --config {{ quote(config) }} "$@"

# What a pipeline file means and what its inputs begin with, before anything runs: just check config=my.toml
[group("pipeline")]
[positional-arguments]
check *options:
    @{{ build }}
    @{{ take_config }}; {{ target }}/check --config "$config" "$@"

# Show the tokens that BM25 counts: echo '北京天气' | just analyze --analyzer unicode
[group("pipeline")]
[positional-arguments]
analyze *options:
    @{{ build }}
    @{{ target }}/analyze "$@"

# Ask the tables of the last run: just sql "select * from metrics"; without a statement, a shell; --help says more
[group("pipeline")]
[positional-arguments]
sql *arguments: query
    @{{ libraries }} {{ target }}/query --config {{ quote(config) }} "$@"

# DuckDB is compiled once, which takes so long that it is said beforehand, with the progress shown.
[private]
query:
    @if [ -z {{ quote(duckdb) }} ] && ! ls {{ target }}/build/libduckdb-sys-*/out/libduckdb.a >/dev/null 2>&1; then printf '%s\n' \
        'sql: DuckDB is compiled first, once: half an hour on two cores, less on more. Not with DUCKDB_LIB_DIR=<folder of libduckdb.so>' \
        'of an installed DuckDB, 1.5 or later. Any DuckDB client reads the tables meanwhile:' \
        "    duckdb -c \"from 'data/runs/default/evaluate/metrics/*.parquet'\"    # <run>/<stage>/<table>/*.parquet" >&2; fi
    @{{ build_query }} $([ {{ target }}/query -nt Cargo.lock ] && echo --quiet)

[private]
build-stages:
    {{ build }}
    {{ if ranks == "1" { "" } else { build_mpi } }}

# Submit every stage to Slurm: SHARDS=32 RANKS=4 THREADS=16 just slurm-run-all
[group("pipeline")]
[positional-arguments]
slurm-run-all *options:
    {{ build }}
    {{ build_mpi }}
    DISRANKER_BIN={{ quote(absolute_path(target)) }} cluster/slurm/run-all --config {{ quote(config) }} "$@"

# The binaries whose processes train together as ranks of an MPI program: libopenmpi-dev and libclang-dev are needed
[group("development")]
build-mpi:
    {{ build_mpi }}

# The program that reads object stores, which the stages start for URLs such as s3://bucket/logs/*.csv.gz
[group("development")]
build-objects:
    {{ build_objects }}

# Every test, of the real binaries too
[group("development")]
test:
    cargo build --release --locked --workspace --bins
    {{ build_objects }}
    @if command -v mpicc >/dev/null; then {{ build_mpi }}; else echo "ranks: not built, as mpicc is not installed"; fi
    cargo test --release --locked --workspace

# Formatting and lints
[group("development")]
lint:
    cargo fmt --all --check
    cargo clippy --release --locked --workspace --all-targets -- --deny warnings
    cargo clippy --release --locked --workspace --features fetch_objects/object-store --bin fetch-objects -- --deny warnings
    @if command -v mpicc >/dev/null; then \
        cargo clippy --release --locked --workspace --features teacher/mpi,distill/mpi --bins --lib -- --deny warnings; fi

# The documentation of every crate; a broken link or another warning is an error
[group("development")]
doc:
    RUSTDOCFLAGS="--deny warnings" cargo doc --release --locked --workspace --no-deps

# Licences, duplicate versions and sources of all dependencies, and security advisories where their database can be had
[group("development")]
deny:
    cargo deny --locked check bans licenses sources
    @if timeout 60 cargo deny --locked fetch db 2>/dev/null; \
        then cargo deny --locked --offline check advisories; \
        else echo "advisories: skipped, as github.com/rustsec/advisory-db cannot be fetched"; fi

# Write the JSON schema of pipeline.toml and the pages of its keys and of the tables
[group("development")]
reference:
    {{ build }}
    {{ target }}/reference

# Timings of each operation; or beside other libraries: just bench peers --work student-train-128 --rounds 5
[group("development")]
[positional-arguments]
bench what="operations" *arguments:
    {{ if what == "operations" { "shift; cargo bench --locked --workspace --bench operations --" } else { build + " && " + target / "bench" } }} "$@"

# Random bytes into each reader of raw files: just fuzz 300 for five minutes each
[group("development")]
fuzz seconds="60":
    @if command -v cargo-fuzz >/dev/null && rustup toolchain list | grep -q nightly; \
        then cd fuzz && for reader in json delimited parquet; do cargo +nightly fuzz run $reader -- -max_total_time={{ seconds }} || exit $?; done; \
        else echo "fuzz: skipped, as cargo-fuzz or a nightly toolchain is not installed"; fi

# What continuous integration runs; `cargo install --locked cargo-deny` once
[group("development")]
ci: lint doc deny test
