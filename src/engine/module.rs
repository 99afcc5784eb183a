//! A module as it came: read, checked and described, before WasmEdge sees a byte of it.
//!
//! Problem: module bytes are untrusted, and WasmEdge's own loader has accepted what it should not and crashed on what it accepted.
//! Answer: wasmparser validates everything first, with a fixed set of features and with limits that the later stages rely on (see
//! [`limits`]); compiled artifacts are refused, for a crafted one writes where it likes before its first instruction runs. It does not
//! link imports (`host/`), rewrite (`rewrite.rs`) or compile (`compile.rs`).

use std::fmt::Write as _;
use std::path::Path;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};
use wasmparser::{ExternalKind, FuncValidatorAllocations, Parser, Payload, TypeRef, ValType, ValidPayload, Validator, WasmFeatures};

use super::rewrite;
use crate::error::{Code, Error, Result};

/// Limits on a module, each with its reason.
pub mod limits {
    /// Bytes of a whole module: several times the largest media module known, and a bound on what one upload can make us parse.
    pub const MODULE_BYTES: usize = 64 << 20;
    /// Bytes of one function. The compiler emits no stack probes, so one frame must not jump the guest stack's 64 MiB guard: a value
    /// takes at most 16 bytes of frame and at least one byte of code, so 1 MiB of code makes at most 16 MiB of frame.
    pub const FUNCTION_BYTES: usize = 1 << 20;
    /// Locals of one function, for the same reason; wasmparser's own limit is 50,000.
    pub const FUNCTION_LOCALS: u32 = 20_000;
    /// Elements of one table, 16 bytes each: tables are outside the memory limit.
    pub const TABLE_ELEMENTS: u64 = 100_000;
    /// Tables of one module.
    pub const TABLES: usize = 16;
}

/// What a module may use: WebAssembly 2.0 with tail calls and extended constant expressions, both of which all run modes support.
pub fn features() -> WasmFeatures {
    WasmFeatures::WASM2 | WasmFeatures::TAIL_CALL | WasmFeatures::EXTENDED_CONST
}

/// One import or export in words, such as `rm.emit`.
#[derive(Clone, Debug)]
pub struct Extern {
    /// Module name of an import, empty for an export.
    pub module: String,
    /// Name.
    pub name: String,
    /// `function`, `memory`, `table`, `global` or `tag`.
    pub kind: &'static str,
    /// Signature of a function, such as `(i32, i32) -> i32`.
    pub signature: Option<Signature>,
}

/// Parameter and result types of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Parameters in order.
    pub params: Vec<ValType>,
    /// Results in order.
    pub results: Vec<ValType>,
}

impl Signature {
    /// A signature out of `i32` alone.
    pub fn i32s(params: usize, results: usize) -> Self {
        Self { params: vec![ValType::I32; params], results: vec![ValType::I32; results] }
    }
}

impl std::fmt::Display for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "({}) -> ", list(&self.params))?;
        match self.results.as_slice() {
            [one] => write!(f, "{one}"),
            many => write!(f, "({})", list(many)),
        }
    }
}

/// What a module declares.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    /// What it needs.
    pub imports: Vec<Extern>,
    /// What it offers.
    pub exports: Vec<Extern>,
    /// Pages of memory at the start.
    pub memory_pages: u64,
    /// Pages of memory at most, if it says so itself.
    pub memory_max_pages: Option<u64>,
    /// Own functions.
    pub functions: usize,
}

impl Declared {
    /// The exported function of this name.
    pub fn function(&self, name: &str) -> Option<&Signature> {
        self.exports.iter().find(|export| export.name == name).and_then(|export| export.signature.as_ref())
    }
}

/// What an instance needs to know of its guest beyond the declarations.
#[derive(Debug)]
pub struct Facts {
    /// Indices of the guest's mutable globals; `rewrite.rs` exports them.
    pub mutable_globals: Vec<u32>,
    /// Whether a running guest's state is its memory and globals alone, so that it can move to another instance: it never changes a
    /// table nor drops a segment.
    pub movable: bool,
    /// Whether there is a start function.
    pub has_start: bool,
}

/// A validated module. Cheap to share; the rewritten forms are made when first wanted.
pub struct Module {
    bytes: Vec<u8>,
    hash: [u8; 32],
    declared: Declared,
    facts: Facts,
    /// Frame size of each own function in the interpreter, in bytes.
    frames: Vec<u32>,
    native: OnceLock<Vec<u8>>,
    interpreted: OnceLock<Vec<u8>>,
}

impl Module {
    /// Reads and checks the module in a file.
    pub fn from_path(path: &Path) -> Result<Self> {
        let shown = path.display();
        let not_found = |error: std::io::Error| {
            let code = if error.kind() == std::io::ErrorKind::InvalidInput { Code::ModuleInvalid } else { Code::ModuleNotFound };
            Error::new(code, format!("cannot read the module {shown}: {error}")).because(error)
        };
        let facts = std::fs::metadata(path).map_err(not_found)?;
        if !facts.is_file() {
            return Err(Error::new(Code::ModuleNotFound, format!("cannot read the module {shown}: not a regular file")));
        }
        if facts.len() > limits::MODULE_BYTES as u64 {
            return Err(too_long(facts.len()));
        }
        Self::from_bytes(std::fs::read(path).map_err(not_found)?).map_err(|error| {
            // The file's name belongs into the sentence: a program may load many.
            Error::new(error.code(), format!("{shown}: {}", error.message()))
        })
    }

    /// Checks the module in these bytes.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        if bytes.len() > limits::MODULE_BYTES {
            return Err(too_long(bytes.len() as u64));
        }
        refuse_other_formats(&bytes)?;
        let (declared, facts, frames) = validate(&bytes)?;
        let hash = Sha256::digest(&bytes).into();
        Ok(Self { bytes, hash, declared, facts, frames, native: OnceLock::new(), interpreted: OnceLock::new() })
    }

    /// SHA-256 of the bytes as they came.
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The hash in hexadecimal.
    pub fn hash_text(&self) -> String {
        hex(&self.hash)
    }

    /// What the module declares.
    pub fn declared(&self) -> &Declared {
        &self.declared
    }

    /// What its instances need to know.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Size of the bytes as they came.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The form that compilers get.
    pub fn for_native(&self) -> Result<&[u8]> {
        self.form(&self.native, None)
    }

    /// The form that the interpreter gets: it counts its own stack, for the interpreter has no limit of its own.
    pub fn for_interpreter(&self) -> Result<&[u8]> {
        self.form(&self.interpreted, Some(&self.frames))
    }

    fn form<'a>(&self, cell: &'a OnceLock<Vec<u8>>, frames: Option<&[u32]>) -> Result<&'a [u8]> {
        if cell.get().is_none() {
            // Two threads may both rewrite; the first to finish is kept.
            let _ = cell.set(rewrite::rewrite(&self.bytes, frames)?);
        }
        cell.get().map(Vec::as_slice).ok_or_else(|| Error::new(Code::Internal, "the rewritten module vanished"))
    }
}

/// Bytes as hexadecimal text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn invalid(problem: impl std::fmt::Display) -> Error {
    Error::new(Code::ModuleInvalid, format!("not a usable WebAssembly module: {problem}"))
}

fn too_long(bytes: u64) -> Error {
    invalid(format_args!("{bytes} bytes, at most {} are allowed", limits::MODULE_BYTES))
}

fn refuse_other_formats(bytes: &[u8]) -> Result<()> {
    let native: [&[u8]; 6] = [b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\xfe\xed\xfa\xcf", b"!<arch>"];
    if bytes.is_empty() {
        return Err(invalid("it is empty"));
    }
    if native.iter().any(|magic| bytes.starts_with(magic)) {
        return Err(invalid("compiled artifacts are refused, give the .wasm they were made from"));
    }
    if bytes.starts_with(b"(module") {
        return Err(invalid("it is WebAssembly text, assemble it to .wasm first"));
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(invalid("it does not start with the WebAssembly magic number"));
    }
    if bytes.get(4..8) == Some(&[0x0d, 0, 1, 0]) {
        return Err(invalid("it is a component, this engine runs core modules"));
    }
    Ok(())
}

fn validate(bytes: &[u8]) -> Result<(Declared, Facts, Vec<u32>)> {
    let mut validator = Validator::new_with_features(features());
    let mut allocations = FuncValidatorAllocations::default();
    let mut declared = Declared::default();
    let mut frames = Vec::new();
    let mut facts = Facts { mutable_globals: Vec::new(), movable: true, has_start: false };
    let mut tables = 0;
    let mut exports = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(invalid)?;
        let valid = validator.payload(&payload).map_err(invalid)?;
        if let ValidPayload::End(types) = &valid {
            describe_functions(&mut declared, &exports, types.as_ref());
        }
        if let ValidPayload::Func(to_validate, body) = valid {
            let size = body.as_bytes().len();
            if size > limits::FUNCTION_BYTES {
                return Err(invalid(format_args!("a function of {size} bytes, at most {} are allowed", limits::FUNCTION_BYTES)));
            }
            let mut function = to_validate.into_validator(allocations);
            frames.push(frame_bytes(&mut function, &body, &mut facts)?);
            allocations = function.into_allocations();
        }
        match payload {
            Payload::CustomSection(section) if section.name() == "wasmedge" => {
                return Err(invalid("compiled artifacts are refused, give the .wasm it was made from"));
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(invalid)?;
                    let kind = match import.ty {
                        TypeRef::Func(_) | TypeRef::FuncExact(_) => "function",
                        TypeRef::Table(_) => "table",
                        TypeRef::Memory(_) => "memory",
                        TypeRef::Global(_) => "global",
                        TypeRef::Tag(_) => "tag",
                    };
                    let (module, name) = (import.module.to_owned(), import.name.to_owned());
                    declared.imports.push(Extern { module, name, kind, signature: None });
                }
            }
            Payload::FunctionSection(section) => declared.functions = section.count() as usize,
            Payload::TableSection(section) => {
                for table in section {
                    let table = table.map_err(invalid)?;
                    tables += 1;
                    if tables > limits::TABLES || table.ty.initial > limits::TABLE_ELEMENTS {
                        let problem = format!("more than {} tables or {} elements", limits::TABLES, limits::TABLE_ELEMENTS);
                        return Err(Error::new(Code::WasmMemory, format!("the module declares {problem}")));
                    }
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory.map_err(invalid)?;
                    declared.memory_pages = memory.initial;
                    declared.memory_max_pages = memory.maximum;
                }
            }
            Payload::GlobalSection(section) => {
                for (index, global) in (0..).zip(section) {
                    if global.map_err(invalid)?.ty.mutable {
                        facts.mutable_globals.push(index);
                    }
                }
            }
            Payload::StartSection { .. } => facts.has_start = true,
            Payload::ExportSection(section) => {
                for export in section {
                    exports.push(export.map_err(invalid)?);
                }
            }
            _ => {}
        }
    }
    Ok((declared, facts, frames))
}

/// Validates a function and tells how much memory one of its frames takes in the interpreter: 16 bytes for each value and about as much
/// as five values for the frame itself.
fn frame_bytes(
    function: &mut wasmparser::FuncValidator<wasmparser::ValidatorResources>,
    body: &wasmparser::FunctionBody<'_>,
    facts: &mut Facts,
) -> Result<u32> {
    let mut reader = body.get_binary_reader();
    function.read_locals(&mut reader).map_err(invalid)?;
    let locals = function.len_locals();
    if locals > limits::FUNCTION_LOCALS {
        return Err(invalid(format_args!("a function with {locals} locals, at most {} are allowed", limits::FUNCTION_LOCALS)));
    }
    let mut highest = 0;
    let mut operators = wasmparser::OperatorsReader::new(reader);
    while !operators.eof() {
        let (operator, offset) = operators.read_with_offset().map_err(invalid)?;
        function.op(offset, &operator).map_err(invalid)?;
        facts.movable &= !rewrite::changes_hidden_state(&operator);
        highest = highest.max(function.operand_stack_height());
    }
    operators.finish().map_err(invalid)?;
    Ok(80 + 16 * (locals + highest))
}

/// The signatures of imports and exports are known to the validator once everything was read.
fn describe_functions(declared: &mut Declared, exports: &[wasmparser::Export<'_>], types: wasmparser::types::TypesRef<'_>) {
    let signature = |index: u32| {
        let ty = types.get(types.core_function_at(index))?.composite_type.inner.clone();
        match ty {
            wasmparser::CompositeInnerType::Func(ty) => Some(Signature { params: ty.params().to_vec(), results: ty.results().to_vec() }),
            _ => None,
        }
    };
    for (function, import) in (0..).zip(declared.imports.iter_mut().filter(|import| import.kind == "function")) {
        import.signature = signature(function);
    }
    for export in exports {
        let kind = match export.kind {
            ExternalKind::Func | ExternalKind::FuncExact => "function",
            ExternalKind::Table => "table",
            ExternalKind::Memory => "memory",
            ExternalKind::Global => "global",
            ExternalKind::Tag => "tag",
        };
        let described = if kind == "function" { signature(export.index) } else { None };
        declared.exports.push(Extern { module: String::new(), name: export.name.to_owned(), kind, signature: described });
    }
}
