//! Small changes to a module that let the host see and bound what the engine alone does not.
//!
//! Problem: WasmEdge cannot say that a `memory.grow` was refused, has no bound on tables or on the interpreter's recursion, runs a start
//! function in the middle of instantiation, and offers no way to move a running guest from the interpreter to compiled code. Answer: one
//! pass over the validated module that
//! * turns `memory.grow` into a call of an added function that also sets a flag when the engine said no,
//! * makes the start function an export (an empty one takes its place), so that it runs as an ordinary call under the usual limits,
//! * gives every table a maximum,
//! * exports every mutable global, so that `instance.rs` can copy a guest's state into a compiled instance,
//! * in the interpreter's form counts the bytes of nested frames before each call and traps above a limit,
//! * drops custom sections (names, debug information): nothing reads them and they are most of some modules.
//!
//! It does not validate: it gets what `module.rs` accepted, and wasm-encoder writes it anew.

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ExportKind, ExportSection, Function, GlobalSection, GlobalType, Instruction, TypeSection, ValType,
};
use wasmparser::{Parser, Payload};

use super::module::limits;
use crate::error::{Code, Error, Result};

/// Prefix of the added exports. A guest that exports such a name itself is refused as a duplicate.
const PREFIX: &str = "rm:";
/// Export of the flag that a `memory.grow` was refused.
pub const GROW_REFUSED: &str = "rm:grow-refused";
/// Export of the interpreter's frame bytes.
pub const STACK_BYTES: &str = "rm:stack-bytes";
/// Export of what was the start function.
pub const START: &str = "rm:start";
/// Bytes of interpreter frames that a guest may nest. Sixteen times the default native stack, for a value here takes 16 bytes and there
/// often a register.
pub const INTERPRETER_STACK_BYTES: i32 = 16 << 20;
/// Part of the disk cache's key: raised whenever this pass writes something else.
pub const VERSION: u32 = 1;

/// Rewrites a valid module; with the frame sizes of its own functions it counts the interpreter's stack.
pub fn rewrite(wasm: &[u8], frames: Option<&[u32]>) -> Result<Vec<u8>> {
    let mut pass = Pass::scan(wasm, frames)?;
    let mut module = wasm_encoder::Module::new();
    pass.parse_core_module(&mut module, Parser::new(0), wasm)
        .map_err(|error| Error::new(Code::ModuleInvalid, format!("the module cannot be prepared: {error}")))?;
    Ok(module.finish())
}

/// Name under which the guest's own mutable global is exported.
pub fn global_name(index: u32) -> String {
    format!("{PREFIX}global-{index}")
}

/// Whether the operator changes state that is neither memory nor a global: such a guest cannot move to another instance.
pub fn changes_hidden_state(operator: &wasmparser::Operator<'_>) -> bool {
    use wasmparser::Operator as Op;
    matches!(
        operator,
        Op::TableSet { .. }
            | Op::TableGrow { .. }
            | Op::TableFill { .. }
            | Op::TableCopy { .. }
            | Op::TableInit { .. }
            | Op::ElemDrop { .. }
            | Op::DataDrop { .. }
    )
}

struct Pass<'a> {
    frames: Option<&'a [u32]>,
    /// Frame size that an indirect call is charged: the largest there is.
    largest_frame: u32,
    types: u32,
    imported_functions: u32,
    functions: u32,
    globals: u32,
    mutable_globals: Vec<u32>,
    has_exports: bool,
    has_globals: bool,
    has_memory: bool,
    start: Option<u32>,
}

type PassResult<T = ()> = std::result::Result<T, reencode::Error<std::convert::Infallible>>;

impl<'a> Pass<'a> {
    fn scan(wasm: &[u8], frames: Option<&'a [u32]>) -> Result<Self> {
        let largest_frame = frames.and_then(|frames| frames.iter().copied().max()).unwrap_or(0);
        let mut pass = Self {
            frames,
            largest_frame,
            types: 0,
            imported_functions: 0,
            functions: 0,
            globals: 0,
            mutable_globals: Vec::new(),
            has_exports: false,
            has_globals: false,
            has_memory: false,
            start: None,
        };
        let broken = |error: wasmparser::Error| Error::new(Code::ModuleInvalid, error.to_string());
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.map_err(broken)? {
                Payload::TypeSection(section) => pass.types = section.count(),
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        if matches!(import.map_err(broken)?.ty, wasmparser::TypeRef::Func(_)) {
                            pass.imported_functions += 1;
                        }
                    }
                }
                Payload::FunctionSection(section) => pass.functions = section.count(),
                Payload::MemorySection(section) => pass.has_memory = section.count() > 0,
                Payload::GlobalSection(section) => {
                    pass.has_globals = true;
                    for global in section {
                        if global.map_err(broken)?.ty.mutable {
                            pass.mutable_globals.push(pass.globals);
                        }
                        pass.globals += 1;
                    }
                }
                Payload::ExportSection(_) => pass.has_exports = true,
                Payload::StartSection { func, .. } => pass.start = Some(func),
                _ => {}
            }
        }
        if pass.functions == 0 {
            return Err(Error::new(Code::Abi, "the module has no functions of its own"));
        }
        Ok(pass)
    }

    fn grow_refused(&self) -> u32 {
        self.globals
    }

    fn stack_bytes(&self) -> u32 {
        self.globals + 1
    }

    /// What the start section points to once the real start function is an export.
    fn empty_function(&self) -> u32 {
        self.imported_functions + self.functions
    }

    fn grow_function(&self) -> u32 {
        self.empty_function() + 1
    }

    fn add_globals(section: &mut GlobalSection) {
        let flag = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        section.global(flag, &ConstExpr::i32_const(0));
        section.global(flag, &ConstExpr::i32_const(0));
    }

    fn add_exports(&self, section: &mut ExportSection) {
        section.export(GROW_REFUSED, ExportKind::Global, self.grow_refused());
        section.export(STACK_BYTES, ExportKind::Global, self.stack_bytes());
        for index in &self.mutable_globals {
            section.export(&global_name(*index), ExportKind::Global, *index);
        }
        if let Some(start) = self.start {
            section.export(START, ExportKind::Func, start);
        }
    }

    /// Frame bytes that a call instruction adds, when they are counted.
    fn charge(&self, instruction: &wasmparser::Operator<'_>) -> Option<i32> {
        let frames = self.frames?;
        let bytes = match instruction {
            wasmparser::Operator::Call { function_index } => {
                let own = function_index.checked_sub(self.imported_functions)?;
                frames.get(own as usize).copied().unwrap_or(self.largest_frame)
            }
            wasmparser::Operator::CallIndirect { .. } => self.largest_frame,
            _ => return None,
        };
        i32::try_from(bytes).ok()
    }

    fn write_call(&mut self, function: &mut Function, call: wasmparser::Operator<'_>, bytes: i32) -> PassResult {
        let counter = self.stack_bytes();
        let add = |function: &mut Function, bytes: i32| {
            function.instruction(&Instruction::GlobalGet(counter));
            function.instruction(&Instruction::I32Const(bytes));
            function.instruction(&Instruction::I32Add);
            function.instruction(&Instruction::GlobalSet(counter));
        };
        add(function, bytes);
        function.instruction(&Instruction::GlobalGet(counter));
        function.instruction(&Instruction::I32Const(INTERPRETER_STACK_BYTES));
        function.instruction(&Instruction::I32GtU);
        function.instruction(&Instruction::If(BlockType::Empty));
        function.instruction(&Instruction::Unreachable);
        function.instruction(&Instruction::End);
        let call = self.instruction(call)?;
        function.instruction(&call);
        add(function, -bytes);
        Ok(())
    }

    /// `(param pages) -> i32`: grows the memory and remembers a refusal.
    fn grow_body(&self) -> Function {
        let mut function = Function::new([(1, ValType::I32)]);
        for instruction in [
            Instruction::LocalGet(0),
            Instruction::MemoryGrow(0),
            Instruction::LocalTee(1),
            Instruction::I32Const(-1),
            Instruction::I32Eq,
            Instruction::If(BlockType::Empty),
            Instruction::I32Const(1),
            Instruction::GlobalSet(self.grow_refused()),
            Instruction::End,
            Instruction::LocalGet(1),
            Instruction::End,
        ] {
            function.instruction(&instruction);
        }
        function
    }
}

impl Reencode for Pass<'_> {
    type Error = std::convert::Infallible;

    fn parse_type_section(&mut self, types: &mut TypeSection, section: wasmparser::TypeSectionReader<'_>) -> PassResult {
        reencode::utils::parse_type_section(self, types, section)?;
        types.ty().function([], []);
        types.ty().function([ValType::I32], [ValType::I32]);
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut wasm_encoder::FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> PassResult {
        reencode::utils::parse_function_section(self, functions, section)?;
        functions.function(self.types);
        if self.has_memory {
            functions.function(self.types + 1);
        }
        Ok(())
    }

    fn table_type(&mut self, table: wasmparser::TableType) -> PassResult<wasm_encoder::TableType> {
        let mut table = reencode::utils::table_type(self, table)?;
        table.maximum = Some(table.maximum.unwrap_or(limits::TABLE_ELEMENTS).min(limits::TABLE_ELEMENTS));
        Ok(table)
    }

    fn parse_global_section(&mut self, globals: &mut GlobalSection, section: wasmparser::GlobalSectionReader<'_>) -> PassResult {
        reencode::utils::parse_global_section(self, globals, section)?;
        Self::add_globals(globals);
        Ok(())
    }

    fn parse_export_section(&mut self, exports: &mut ExportSection, section: wasmparser::ExportSectionReader<'_>) -> PassResult {
        reencode::utils::parse_export_section(self, exports, section)?;
        self.add_exports(exports);
        Ok(())
    }

    fn intersperse_section_hook(
        &mut self,
        module: &mut wasm_encoder::Module,
        after: Option<wasm_encoder::SectionId>,
        before: Option<wasm_encoder::SectionId>,
    ) -> PassResult {
        use wasm_encoder::SectionId;
        let between = |id: SectionId| after.is_none_or(|after| order(after) < order(id)) && before.is_none_or(|before| order(before) > order(id));
        if !self.has_globals && between(SectionId::Global) {
            self.has_globals = true;
            let mut globals = GlobalSection::new();
            Self::add_globals(&mut globals);
            module.section(&globals);
        }
        if !self.has_exports && between(SectionId::Export) {
            self.has_exports = true;
            let mut exports = ExportSection::new();
            self.add_exports(&mut exports);
            module.section(&exports);
        }
        Ok(())
    }

    fn start_section(&mut self, _start: u32) -> PassResult<u32> {
        Ok(self.empty_function())
    }

    fn parse_custom_section(&mut self, _module: &mut wasm_encoder::Module, _section: wasmparser::CustomSectionReader<'_>) -> PassResult {
        Ok(())
    }

    fn parse_code_section(&mut self, code: &mut CodeSection, section: wasmparser::CodeSectionReader<'_>) -> PassResult {
        reencode::utils::parse_code_section(self, code, section)?;
        let mut empty = Function::new([]);
        empty.instruction(&Instruction::End);
        code.function(&empty);
        if self.has_memory {
            code.function(&self.grow_body());
        }
        Ok(())
    }

    fn parse_function_body(&mut self, code: &mut CodeSection, body: wasmparser::FunctionBody<'_>) -> PassResult {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let operator = operators.read()?;
            match operator {
                wasmparser::Operator::MemoryGrow { .. } => {
                    function.instruction(&Instruction::Call(self.grow_function()));
                }
                _ => match self.charge(&operator) {
                    Some(bytes) => self.write_call(&mut function, operator, bytes)?,
                    None => {
                        let instruction = self.instruction(operator)?;
                        function.instruction(&instruction);
                    }
                },
            }
        }
        code.function(&function);
        Ok(())
    }
}

/// Position of a section in a module; the data count comes before the code.
fn order(id: wasm_encoder::SectionId) -> u8 {
    use wasm_encoder::SectionId as Id;
    match id {
        Id::Custom => 0,
        Id::Type => 1,
        Id::Import => 2,
        Id::Function => 3,
        Id::Table => 4,
        Id::Memory => 5,
        Id::Tag => 6,
        Id::Global => 7,
        Id::Export => 8,
        Id::Start => 9,
        Id::Element => 10,
        Id::DataCount => 11,
        Id::Code => 12,
        Id::Data => 13,
    }
}
