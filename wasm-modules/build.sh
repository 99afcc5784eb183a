#!/bin/sh
# Builds every guest into dist/: the Rust modules, gain-c, gain-as and the test fixtures, then manifest.json.
#
#   build.sh            everything that is kept in the repository
#   build.sh --large    also the fixtures that are too large for it
#   build.sh NAME...    only these modules; fixtures and the manifest always
#
# Toolchain: rustup's wasm32-wasip1 target if it is installed, else Debian's rustc with libstd-rust-dev-wasm32 and
# lld-21. RUSTC, CLANG, WASM_LD override what is found.
set -eu
cd "$(dirname "$0")"
here=$(pwd)

large=
names=
for arg; do
  case $arg in
    --large) large=--large ;;
    -*) echo "usage: build.sh [--large] [NAME...]" >&2; exit 2 ;;
    *) names="$names $arg" ;;
  esac
done

die() { echo "build.sh: $1" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
wanted() { [ -z "$names" ] || case " $names " in *" $1 "*) true ;; *) false ;; esac; }

have cargo || die "cargo is missing: install Rust from https://rustup.rs"
have node || die "node is missing: install Node.js 20 or later"

# --- Rust -----------------------------------------------------------------------------------------------------------
host_rustc=$(command -v rustc || true)
debian_lib=/usr/lib/rustlib/wasm32-wasip1
if [ -n "${RUSTC:-}" ]; then
  linker=${WASM_LD:-}
elif [ -n "$host_rustc" ] && [ -d "$("$host_rustc" --print sysroot)/lib/rustlib/wasm32-wasip1" ] && have rustup; then
  RUSTC=$host_rustc
  linker=
elif [ -x /usr/bin/rustc ] && [ -d "$debian_lib" ]; then
  RUSTC=/usr/bin/rustc
  linker=${WASM_LD:-$(command -v wasm-ld-21 || command -v wasm-ld-22 || true)}
  [ -n "$linker" ] || die "Debian's rustc needs wasm-ld: apt-get install lld-21"
else
  die "no Rust for WebAssembly: run 'rustup target add wasm32-wasip1',
  or install rustc, libstd-rust-dev-wasm32 and lld-21 (Debian forky and later)"
fi

# Paths of this machine have no place in an artifact: panic messages carry source paths.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
sysroot=$("$RUSTC" --print sysroot)
remap="--remap-path-prefix=$here=. --remap-path-prefix=$cargo_home/registry/src=/crates"
remap="$remap --remap-path-prefix=$sysroot/lib/rustlib/src/rust=/rust"

# KiB of stack: half as much again as the deepest call was seen to use, at least.
stack_of() {
  case $1 in
    thumbnail) echo 128 ;;
    *) echo 64 ;;
  esac
}

mkdir -p dist
for manifest in modules/*/Cargo.toml; do
  name=$(basename "$(dirname "$manifest")")
  wanted "$name" || continue
  echo "guest $name"
  flags="-C target-feature=+simd128 -C link-arg=-zstack-size=$(($(stack_of "$name") * 1024)) $remap"
  # One package at a time: features of dependencies would otherwise be those of the greediest module.
  env RUSTC="$RUSTC" RUSTFLAGS="$flags" ${linker:+CARGO_TARGET_WASM32_WASIP1_LINKER="$linker"} \
    cargo rustc --quiet --locked --release --target wasm32-wasip1 --target-dir target/guest \
    --package "$name" --lib --crate-type cdylib
  # Cargo names the file of a library without dashes.
  cp "target/guest/wasm32-wasip1/release/$(echo "$name" | tr - _).wasm" "dist/$name.wasm"
  chmod 644 "dist/$name.wasm"
done

# --- C --------------------------------------------------------------------------------------------------------------
clang=${CLANG:-$(command -v clang-14 || command -v clang || true)}
if wanted gain-c; then
  [ -n "$clang" ] || die "clang is missing: install clang, lld and nothing else (the C node uses no libc)"
  c_linker=${WASM_LD:-$(command -v wasm-ld-21 || command -v wasm-ld-14 || command -v wasm-ld || true)}
  [ -n "$c_linker" ] || die "wasm-ld is missing: install lld"
  echo "guest gain-c"
  "$clang" --target=wasm32 -std=c11 -Wall -Wextra -Werror -O3 -msimd128 -mbulk-memory -ffreestanding -nostdlib \
    -c modules/gain-c/gain.c -o target/gain-c.o
  "$c_linker" --no-entry --strip-all --stack-first -z stack-size=16384 target/gain-c.o -o dist/gain-c.wasm
  chmod 644 dist/gain-c.wasm
fi

# --- AssemblyScript -------------------------------------------------------------------------------------------------
if wanted gain-as; then
  echo "guest gain-as"
  [ -d modules/gain-as/node_modules/assemblyscript ] || (cd modules/gain-as && npm ci --silent --no-audit --no-fund)
  (cd modules/gain-as && npm run --silent build)
fi

# --- Fixtures and manifest ------------------------------------------------------------------------------------------
echo "fixtures"
env -u RUSTC -u RUSTFLAGS cargo run --quiet --locked --package fixture-tool -- fixtures dist/fixtures ${large:+"$large"}
as_version=$(node -p 'require("./modules/gain-as/node_modules/assemblyscript/package.json").version' 2>/dev/null || echo none)
node check-dist.mjs --write \
  "rust=$("$RUSTC" --version | cut -d' ' -f1-2)" \
  "c=$([ -z "$clang" ] || "$clang" --version | sed -n '1s/.*clang version \([0-9.]*\).*/clang \1/p')" \
  "assemblyscript=assemblyscript $as_version"
