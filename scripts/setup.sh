#!/usr/bin/env bash
# Finds WasmEdge 0.17.1 and libclang, or gets them, and writes where WasmEdge is to target/wasmedge.env.
#
#   scripts/setup.sh              all of it; a second run only looks whether what it wrote still holds
#   scripts/setup.sh --tests      what the tests need beside: Python
#   scripts/setup.sh --packages   only the Debian packages, as root, for a machine whose builds run as someone else
#
# WasmEdge comes from the first of: WASMEDGE_INCLUDE_DIR with WASMEDGE_LIB_DIR, WASMEDGE_DIR, /usr/local, ~/.wasmedge, the
# system's folders, the official release archive (unpacked into ~/.wasmedge), Debian's package. A folder that a variable names
# must be right; one that is only found is passed over if it is not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly VERSION=0.17.1
readonly SERIES=0.17
readonly ENV_FILE=target/wasmedge.env
readonly HOME_DIR=${HOME:?HOME is not set}/.wasmedge
# The suite of Debian that has this version. It is pinned low, so that only this package and what it needs come from it.
readonly SUITE=forky
readonly APT_NAME=wasmedge-$SUITE

say() { echo "setup: $*"; }
die() {
  echo "setup: $1" >&2
  shift
  for line in "$@"; do echo "       $line" >&2; done
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }
os_release() { sed -n "s/^$1=[\"']\{0,1\}\([^\"']*\).*/\1/p" /etc/os-release 2>/dev/null || true; }
is_debian() { [ "$(os_release ID)" = debian ] && have apt-get; }
is_root() { [ "$(id -u)" = 0 ]; }
as_debian_root() { is_debian && is_root; }

scratch=
trap '[ -z "$scratch" ] || rm -rf "$scratch"' EXIT

# --- What a developer brings ----------------------------------------------------------------------------------------------
check_tools() {
  have cargo || die "cargo is missing: install Rust from https://rustup.rs"
  have cc || die "cc is missing: install a C compiler (Debian: apt-get install gcc libc6-dev)"
  have node || die "node is missing: install Node.js 20 or later"
  have npm || die "npm is missing: it comes with Node.js 20 or later"
  local node_version
  node_version=$(node --version)
  node_version=${node_version#v}
  [ "${node_version%%.*}" -ge 20 ] || die "node is $node_version: Node.js 20 or later is needed"
}

# --- libclang -------------------------------------------------------------------------------------------------------------
# bindgen reads wasmedge.h with it. The folders are those that bindgen looks in itself.
find_libclang() {
  local file
  for file in ${LIBCLANG_PATH:+"$LIBCLANG_PATH"} ${LIBCLANG_PATH:+"$LIBCLANG_PATH"/libclang*} \
    /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*-linux-gnu/libclang*.so* /usr/lib64/libclang*.so* /usr/lib/libclang*.so* \
    /usr/local/lib/libclang*.so* /usr/local/llvm*/lib/libclang*.so* \
    /Library/Developer/CommandLineTools/usr/lib/libclang.dylib /opt/homebrew/opt/llvm/lib/libclang.dylib \
    /Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib/libclang.dylib; do
    case $file in *libclang-cpp*) continue ;; esac
    [ -f "$file" ] && return 0
  done
  return 1
}

get_libclang() {
  find_libclang && return 0
  if as_debian_root; then
    say "installing libclang-dev, which reads WasmEdge's header"
    apt_update
    apt_install libclang-dev
    find_libclang && return 0
  fi
  local how="install libclang (clang's library; on macOS: xcode-select --install), or set LIBCLANG_PATH to its folder"
  ! is_debian || how="as root: scripts/setup.sh --packages"
  die "libclang is missing; bindgen reads WasmEdge's header with it" "$how"
}

# --- Python, for the tests ------------------------------------------------------------------------------------------------
# The remote side is tested against real pickle, numpy and grpcio; the tests fetch those themselves, into a virtual environment.
has_python() { python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

get_python() {
  has_python && return 0
  if as_debian_root; then
    say "installing python3-venv, for the tests against Python"
    apt_update
    apt_install python3 python3-venv
  fi
  has_python || die "python3 with its venv module is missing: the tests against Python need it (Debian: apt-get install python3-venv)"
}

# --- Debian packages ------------------------------------------------------------------------------------------------------
apt_updated=
# A third-party source that is down must not stop us: whether the package can be had is what is looked at afterwards.
apt_update() {
  [ -z "$apt_updated" ] || return 0
  apt-get -qq update || say "apt-get update had errors (see above): going on with what it has"
  apt_updated=yes
}
apt_install() {
  DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends -o DPkg::Lock::Timeout=120 \
    -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0 "$@" </dev/null >/dev/null
}
apt_candidate() { apt-cache policy libwasmedge-dev | sed -n 's/^ *Candidate: *//p'; }

# The mirror that this machine's own Debian comes from, in whatever format its sources are written.
debian_mirror() {
  local codename uri
  codename=$(os_release VERSION_CODENAME)
  # shellcheck disable=SC2016  # the format is apt's
  uri=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 2>/dev/null |
    awk -v suite="$codename" '$1 == suite || $1 == "stable" || $1 == "oldstable" { print $2; exit }')
  echo "${uri:-http://deb.debian.org/debian}"
}

add_suite() {
  local mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  mirror=$(debian_mirror)
  say "adding Debian's $SUITE from $mirror, pinned at priority 100"
  printf 'Package: *\nPin: release n=%s\nPin-Priority: 100\n' "$SUITE" >"/etc/apt/preferences.d/$APT_NAME"
  {
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n' "$mirror" "$SUITE"
    [ ! -f "$keyring" ] || printf 'Signed-By: %s\n' "$keyring"
  } >"/etc/apt/sources.list.d/$APT_NAME.sources"
  apt_updated=
  apt_update
}

install_debian_package() {
  apt_update
  case $(apt_candidate) in $SERIES.*) ;; *) add_suite ;; esac
  case $(apt_candidate) in
    $SERIES.*) ;;
    *) say "no Debian package: libwasmedge-dev $SERIES is in none of this machine's suites" && return 1 ;;
  esac
  say "installing Debian's libwasmedge-dev $(apt_candidate) and what it needs (libc6 among it)"
  # Without a target release apt would keep to the old suite for what the package depends on, and refuse.
  if apt-cache policy libwasmedge-dev | grep -q "/.* $SUITE/"; then
    apt_install --target-release "$SUITE" libwasmedge-dev
  else
    apt_install libwasmedge-dev
  fi
}

# --- The official archive -------------------------------------------------------------------------------------------------
# SHA-256 sums of the release, as the crate wasmedge-sys 0.21.1 pins them.
archive_of() {
  case $1 in
    Linux/x86_64) echo "manylinux_2_28_x86_64 27a1abec072ddf45b40e2e81e33c1e5fe9b241f31fd1bbf0182f05097489a07a" ;;
    Linux/aarch64 | Linux/arm64) echo "manylinux_2_28_aarch64 6d7762429083e787ccbddf629868bb59de4325ccdcc31d9f7bd240adcdd9fe9d" ;;
    Darwin/arm64) echo "darwin_arm64 7f6810f0676f8405586a3edb350ce9a6eb256ef7118f2e327f131b7833d0033e" ;;
    Darwin/x86_64) echo "darwin_x86_64 e96d10da0dfe560ff17775cf4a205ed43cd855dafbb4056ea908865066666660" ;;
    *) return 1 ;;
  esac
}

sha256_of() {
  if have sha256sum; then sha256sum "$1" | cut -d' ' -f1; else shasum -a 256 "$1" | cut -d' ' -f1; fi
}

download() {
  if have curl; then
    curl --fail --silent --show-error --location --connect-timeout 5 --max-time 600 --output "$2" "$1"
  elif have wget; then
    wget --quiet --tries=1 --connect-timeout=5 --dns-timeout=5 --read-timeout=60 --output-document="$2" "$1"
  else
    say "neither curl nor wget is here" && return 1
  fi
}

# Leaves the folder it unpacked to in `unpacked`.
unpacked=
install_archive() {
  local row slug sum url file found to=$HOME_DIR
  row=$(archive_of "$(uname -s)/$(uname -m)") || { say "no official archive for $(uname -s) on $(uname -m)" && return 1; }
  if [ "$(uname -s)" = Linux ] && ! getconf GNU_LIBC_VERSION >/dev/null 2>&1; then
    say "no official archive for a C library other than glibc" && return 1
  fi
  read -r slug sum <<<"$row"
  url=https://github.com/WasmEdge/WasmEdge/releases/download/$VERSION/WasmEdge-$VERSION-$slug.tar.gz
  # Somebody else's WasmEdge of another version stays as it is.
  [ ! -e "$to/include" ] || to=$HOME_DIR/$VERSION
  say "fetching $url"
  scratch=$(mktemp -d)
  file=$scratch/wasmedge.tar.gz
  download "$url" "$file" || { say "the archive cannot be fetched from here" && return 1; }
  [ "$(sha256_of "$file")" = "$sum" ] || die "$url is not the archive that was released: its SHA-256 is not $sum"
  mkdir "$scratch/unpacked"
  tar -xzf "$file" -C "$scratch/unpacked"
  found=$(find "$scratch/unpacked" -path '*/include/wasmedge/wasmedge.h' | head -n 1)
  [ -n "$found" ] || die "the archive has no include/wasmedge/wasmedge.h"
  mkdir -p "$to"
  cp -R "${found%/include/wasmedge/wasmedge.h}/." "$to/" || die "cannot write to $to"
  say "unpacked into $to"
  unpacked=$to
}

# --- Looking for an install -----------------------------------------------------------------------------------------------
header_version() {
  sed -n 's/^#define WASMEDGE_VERSION "\([^"]*\)".*/\1/p' "$1/wasmedge/version.h" 2>/dev/null
}

# Why include folder $1 with library folder $2 will not do, or nothing.
objection() {
  local version file
  version=$(header_version "$1")
  [ -n "$version" ] || { echo "$1/wasmedge/version.h is missing or says no version" && return; }
  case $version in
    "$SERIES".[1-9]*) ;;
    *) echo "$1 is WasmEdge $version: $VERSION, or a later one of $SERIES, is needed" && return ;;
  esac
  case $2 in *[[:space:]]*) echo "$2 has a blank in it, which RUSTFLAGS cannot carry" && return ;; esac
  for file in "$2"/libwasmedge.so "$2"/libwasmedge.dylib; do
    [ ! -f "$file" ] || return 0
  done
  echo "$2 has no libwasmedge.so"
}

include_dir=
lib_dir=
# use LABEL INCLUDE LIB: takes the install if it will do.
use() {
  [ -f "$2/wasmedge/wasmedge.h" ] || return 1
  local why
  why=$(objection "$2" "$3")
  if [ -n "$why" ]; then
    say "passing over $1: $why"
    return 1
  fi
  include_dir=$2
  lib_dir=$3
  say "WasmEdge $(header_version "$2") is in $1"
}

# use_root LABEL ROOT: the same, for a folder with include/ and lib64/ or lib/ in it.
use_root() {
  if [ -d "$2/lib64" ] && [ -z "$(objection "$2/include" "$2/lib64")" ]; then use "$1" "$2/include" "$2/lib64"; else use "$1" "$2/include" "$2/lib"; fi
}

use_system() {
  local lib
  for lib in /usr/lib/"$(cc -dumpmachine)" /usr/lib/"$(cc -print-multiarch 2>/dev/null)" /usr/lib64 /usr/lib; do
    [ -e "$lib/libwasmedge.so" ] && use "the system's folders" /usr/include "$lib" && return 0
  done
  return 1
}

find_named() {
  if [ -n "${WASMEDGE_INCLUDE_DIR:-}" ] || [ -n "${WASMEDGE_LIB_DIR:-}" ]; then
    if [ -z "${WASMEDGE_INCLUDE_DIR:-}" ] || [ -z "${WASMEDGE_LIB_DIR:-}" ]; then
      die "set both WASMEDGE_INCLUDE_DIR and WASMEDGE_LIB_DIR, or neither"
    fi
    use "WASMEDGE_INCLUDE_DIR and WASMEDGE_LIB_DIR" "$WASMEDGE_INCLUDE_DIR" "$WASMEDGE_LIB_DIR" && return 0
    die "WASMEDGE_INCLUDE_DIR and WASMEDGE_LIB_DIR do not name a WasmEdge that will do" "$(objection "$WASMEDGE_INCLUDE_DIR" "$WASMEDGE_LIB_DIR")"
  elif [ -n "${WASMEDGE_DIR:-}" ]; then
    use_root WASMEDGE_DIR "$WASMEDGE_DIR" && return 0
    die "WASMEDGE_DIR does not name a WasmEdge that will do" "$(objection "$WASMEDGE_DIR/include" "$WASMEDGE_DIR/lib")"
  fi
  return 1
}

get_wasmedge() {
  if find_named; then return 0; fi
  if use_root /usr/local /usr/local; then return 0; fi
  if use_root "$HOME_DIR" "$HOME_DIR"; then return 0; fi
  if use_root "$HOME_DIR/$VERSION" "$HOME_DIR/$VERSION"; then return 0; fi
  if use_system; then return 0; fi
  say "no WasmEdge $VERSION here yet"
  if install_archive && use_root "$unpacked" "$unpacked"; then return 0; fi
  if as_debian_root && install_debian_package && use_system; then return 0; fi
  local -a how=("unpack WasmEdge $VERSION's release archive into $HOME_DIR (https://github.com/WasmEdge/WasmEdge/releases/tag/$VERSION)"
    "or set WASMEDGE_DIR to a folder with include/ and lib/ of it")
  if is_debian && ! is_root; then how+=("or, as root: scripts/setup.sh --packages"); fi
  die "WasmEdge $VERSION is not here and could not be fetched" "${how[@]}"
}

# --- Proof and result -----------------------------------------------------------------------------------------------------
on_loader_path() {
  case $1 in /usr/lib | /usr/lib64 | /usr/local/lib | /lib | /usr/lib/*-linux-gnu) return 0 ;; esac
  return 1
}

# A program that is linked with the library and says its version: header, library and loader agree, or we stop here rather than
# in the middle of a build.
prove() {
  local said
  [ -n "$scratch" ] || scratch=$(mktemp -d)
  printf '#include <stdio.h>\n#include <wasmedge/wasmedge.h>\nint main(void) { return puts(WasmEdge_VersionGet()) < 0; }\n' >"$scratch/prove.c"
  cc -I"$include_dir" "$scratch/prove.c" -o "$scratch/prove" -L"$lib_dir" -Wl,-rpath,"$lib_dir" -lwasmedge ||
    die "a C program cannot be linked with $lib_dir's libwasmedge"
  said=$("$scratch/prove") || die "a program linked with $lib_dir's libwasmedge does not start"
  [ "$said" = "$(header_version "$include_dir")" ] ||
    die "$include_dir is WasmEdge $(header_version "$include_dir") but the library in $lib_dir is $said"
}

# What was asked for, so that a change of these variables is noticed.
request() { echo "# asked for: ${WASMEDGE_DIR:-} ${WASMEDGE_INCLUDE_DIR:-} ${WASMEDGE_LIB_DIR:-}"; }

write_env() {
  local flag="-Clink-arg=-Wl,-rpath,$lib_dir"
  mkdir -p "$(dirname "$ENV_FILE")"
  {
    echo "# Written by scripts/setup.sh; for a shell: set -a; . $ENV_FILE; set +a"
    request
    printf 'WASMEDGE_INCLUDE_DIR=%q\nWASMEDGE_LIB_DIR=%q\n' "$include_dir" "$lib_dir"
    # Where the loader does not look by itself, what we link carries the folder with it.
    # shellcheck disable=SC2016  # RUSTFLAGS is for the reader of the file to expand
    on_loader_path "$lib_dir" ||
      printf 'case "${RUSTFLAGS:-}" in *%q*) ;; *) RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }"%q ;; esac\nexport RUSTFLAGS\n' "$flag" "$flag"
  } >"$ENV_FILE.new"
  # An unchanged file keeps its time.
  if cmp -s "$ENV_FILE.new" "$ENV_FILE"; then rm "$ENV_FILE.new"; else mv "$ENV_FILE.new" "$ENV_FILE"; fi
}

# Whether the last run's result still holds.
still_holds() (
  [ -f "$ENV_FILE" ] && [ "$(sed -n 2p "$ENV_FILE")" = "$(request)" ] || exit 1
  unset WASMEDGE_INCLUDE_DIR WASMEDGE_LIB_DIR
  # shellcheck disable=SC1090
  . "./$ENV_FILE"
  [ -z "$(objection "${WASMEDGE_INCLUDE_DIR:-}" "${WASMEDGE_LIB_DIR:-}")" ] && find_libclang
)

case ${1:-} in
  '')
    check_tools
    still_holds && exit 0
    get_libclang
    get_wasmedge
    prove
    write_env
    ;;
  --tests) get_python ;;
  --packages)
    as_debian_root || die "--packages is for root on Debian"
    get_python
    get_libclang
    use_system || install_debian_package
    ;;
  *) die "usage: scripts/setup.sh [--tests | --packages]" ;;
esac
