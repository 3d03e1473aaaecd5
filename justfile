# `just` alone lists the recipes. Each first checks that .venv is up to date.
# Settings (SIGNALHUB_*) come from the environment and from a file .env beside this one: see .env.example.

set positional-arguments
set dotenv-load

# Set by a shell for other projects; Python ignores empty ones.
export PYTHONHOME := ""
export PYTHONPATH := ""
export VIRTUAL_ENV := ""

bin := ".venv/bin"
# Tells the command which recipes to name in what it prints.
signalhub := "env JUST_RECIPES='up send tail web worker migrate' " + bin / "signalhub"
foreground := bin / "python -ISB .just/foreground.py"
compile := bin / "uv pip compile --no-config --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate"

[private]
default:
    @{{ quote(just_executable()) }} --justfile {{ quote(justfile()) }} --list --unsorted

# Run everything on this machine: PostgreSQL, Valkey, web and worker
[no-exit-message]
up *args: setup
    @exec {{ foreground }} {{ signalhub }} up "$@"

# Send a signal to the running service; `-` reads it from standard input
[no-exit-message]
send *args: setup
    @exec {{ signalhub }} send "$@"

# Follow events live
[no-exit-message]
tail *args: setup
    @exec {{ foreground }} {{ signalhub }} tail "$@"

# Create or update .venv from requirements.lock
[no-exit-message]
setup:
    @sh .just/setup.sh

# Run the tests, with their own PostgreSQL and Valkey; arguments are pytest's
[no-exit-message]
test *args: setup
    @exec {{ bin }}/pytest "$@"

# Format, lint, types, layers and tests: all that CI runs
check: lint test

# Format, lint, types and layers
lint: setup
    {{ bin }}/ruff format --check
    {{ bin }}/ruff check
    {{ bin }}/mypy
    {{ bin }}/lint-imports

# Check the documentation against the code: settings, errors, events, commands, examples
[no-exit-message]
docs: setup
    @exec {{ bin }}/pytest -n 0 tests/test_docs.py tests/grammar/test_docs.py

# Fix lint and format automatically
fix: setup
    {{ bin }}/ruff check --fix
    {{ bin }}/ruff format

# Run benchmarks; a name selects one
[no-exit-message]
bench *name: setup
    @exec {{ bin }}/python tests/bench/run.py "$@"

# Print the files and functions that one signal crosses, from POST to SSE frame
[no-exit-message]
trace *args: setup
    @exec {{ bin }}/python tests/trace/run.py "$@"

# Kill parts of a running service and check that nothing is lost; a name selects a run
[no-exit-message]
faults *name: setup
    @exec {{ bin }}/python tests/faults/run.py "$@"

# Run a steady load and print the slope of each process's memory; `--minutes` says for how long
[no-exit-message]
soak *args: setup
    @exec {{ bin }}/python tests/faults/run.py soak "$@"

# Run third-party SSE and WebSocket clients through cuts, kills and a restart; names select some
[no-exit-message]
clients *args: setup
    @{{ bin }}/uv pip install --quiet --no-config --require-hashes --only-binary :all: --target .venv/clients/python --requirement requirements-clients.lock
    @exec {{ bin }}/python tests/clients/run.py "$@"

# Fuzz the grammar with `n` generated texts, guided by coverage (Linux)
[no-exit-message]
fuzz *n: setup
    @{{ bin }}/uv pip install --quiet --no-config --require-hashes --only-binary :all: --requirement requirements-fuzz.lock
    @exec {{ bin }}/python tests/grammar/fuzz.py "$@"

# Hold the service to its OpenAPI document, with generated requests; options are Schemathesis's
[no-exit-message]
schemathesis *options: setup
    @exec {{ bin }}/python tests/openapi/run.py "$@"

# Run the web processes alone, on the database and Redis of the settings
[no-exit-message]
web *args: setup
    @exec {{ foreground }} {{ signalhub }} web "$@"

# Run the worker processes alone
[no-exit-message]
worker *args: setup
    @exec {{ foreground }} {{ signalhub }} worker "$@"

# Migrate the database schema
[no-exit-message]
migrate *args: setup
    @exec {{ signalhub }} migrate "$@"

# Update the lock files from pyproject.toml; `--upgrade` takes newer versions
lock *args: setup
    {{ compile }} --all-extras "$@" --output-file requirements.lock pyproject.toml
    {{ compile }} --constraint requirements.lock --output-file requirements-runtime.lock pyproject.toml
    echo hatchling | {{ compile }} --constraint requirements.lock --output-file requirements-build.lock -
    printf '%s\n' 'atheris < 3.1; python_version < "3.12"' 'atheris; python_version >= "3.12"' | {{ compile }} --constraint requirements.lock --output-file requirements-fuzz.lock -
    printf '%s\n' aiohttp aiohttp-sse-client2 httpx-sse requests sseclient-py websocket-client websockets | {{ compile }} --constraint requirements.lock "$@" --output-file requirements-clients.lock -
    cd tests/clients && npm install --package-lock-only

# Build the container image with podman or docker
image *args:
    "$(command -v podman || command -v docker)" build --file Containerfile --tag signalhub:0.1.0 "$@" .
