# The pipeline file every recipe works on: just config=path/to.toml run-all
config := "pipeline.toml"
# Every stage but `query` is built together, so that they share what they depend on; DuckDB is compiled for `sql` alone.
build := "cargo build --release --locked --quiet --workspace --exclude query --bins"
target := env("CARGO_TARGET_DIR", "target") / "release"
pipeline_stages := "simulate ingest cpt teacher score distill evaluate"

# List the recipes
default:
    @just --list

# Run every stage of the pipeline that is not up to date
[group("pipeline")]
run-all *options:
    {{ build }}
    for stage in {{ pipeline_stages }}; do {{ target }}/$stage --config {{ quote(config) }} {{ options }} || exit $?; done

# Make a search engine's world and its click log
[group("pipeline")]
simulate *options: (stage "simulate" options)

# Turn raw logs, documents and judgments into tables
[group("pipeline")]
ingest *options: (stage "ingest" options)

# Make tokenizers and continued pre-training examples
[group("pipeline")]
cpt *options: (stage "cpt" options)

# Pre-train and fine-tune the teacher
[group("pipeline")]
teacher *options: (stage "teacher" options)

# Score large lists with the teacher, or any pairs: just score --model DIR --pairs FILE --out FILE
[group("pipeline")]
score *options:
    {{ build }}
    {{ target }}/score {{ if options =~ '(^| )--model\b' { "" } else { "--config " + quote(config) } }} {{ options }}

# Distil the student
[group("pipeline")]
distill *options: (stage "distill" options)

# Measure every system and write the report
[group("pipeline")]
evaluate *options: (stage "evaluate" options)

# Ask the tables of the last run: just sql "select * from metrics"; without a statement, a shell
[group("pipeline")]
[positional-arguments]
sql *arguments:
    @cargo build --release --locked --quiet --workspace --bins
    @{{ target }}/query --config {{ quote(config) }} "$@"

[private]
stage name *options:
    {{ build }}
    {{ target }}/{{ name }} --config {{ quote(config) }} {{ options }}

# Every test, of the real binaries too
[group("development")]
test:
    cargo build --release --locked --workspace --bins
    cargo test --release --locked --workspace

# Formatting and lints
[group("development")]
lint:
    cargo fmt --all --check
    cargo clippy --release --locked --workspace --all-targets -- --deny warnings

# The same work here and in other libraries, in turn: just bench peers --work student-train-128 --rounds 5
[group("development")]
bench *arguments:
    {{ build }}
    {{ target }}/bench {{ arguments }}

# What continuous integration runs
[group("development")]
ci: lint test
