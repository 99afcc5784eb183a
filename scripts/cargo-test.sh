#!/usr/bin/env bash
# cargo test "$@", by cargo-nextest where it is installed: that gives each test a process of its own, and is quicker.
set -euo pipefail
if cargo nextest --version >/dev/null 2>&1; then
  exec cargo nextest run "$@"
fi
exec cargo test "$@"
