//! Modules written byte by byte: `process` with more locals, or with more code, than a compiler likes.

/// Locals of `locals_bomb`: more than the 50,000 that engines agree to accept at most.
const LOCALS: u32 = 60_000;
/// Bytes of code in `huge_function`.
const HUGE: usize = 5 << 18;

const I32: u8 = 0x7f;
const LOCAL_GET: u8 = 0x20;
const LOCAL_SET: u8 = 0x21;
const I32_CONST: u8 = 0x41;
const I32_ADD: u8 = 0x6a;
const END: u8 = 0x0b;

/// One function with 60,000 locals. Must be refused when it is loaded, or run to its end within the stack limit.
pub fn locals_bomb() -> Vec<u8> {
    // One run of locals of the same type takes a few bytes, however many there are.
    let mut body = vec![1];
    leb(&mut body, LOCALS);
    body.push(I32);
    body.extend([I32_CONST, 0, END]);
    module(&body)
}

/// One function of more than 1 MiB. Must run, or be refused for its size; compiling it must not take for ever.
pub fn huge_function() -> Vec<u8> {
    let mut body = vec![1, 1, I32];
    let step = [LOCAL_GET, 4, I32_CONST, 1, I32_ADD, LOCAL_SET, 4];
    while body.len() < HUGE {
        body.extend(step);
    }
    body.extend([I32_CONST, 0, END]);
    module(&body)
}

/// A module that exports a memory and `process` with this body.
fn module(body: &[u8]) -> Vec<u8> {
    let mut wasm = b"\0asm\x01\0\0\0".to_vec();
    section(&mut wasm, 1, &[1, 0x60, 4, I32, I32, I32, I32, 1, I32]);
    section(&mut wasm, 3, &[1, 0]);
    section(&mut wasm, 5, &[1, 0, 1]);
    section(&mut wasm, 7, b"\x02\x06memory\x02\0\x07process\0\0");
    let mut code = vec![1];
    leb(&mut code, body.len() as u32);
    code.extend(body);
    section(&mut wasm, 10, &code);
    wasm
}

fn section(wasm: &mut Vec<u8>, id: u8, content: &[u8]) {
    wasm.push(id);
    leb(wasm, content.len() as u32);
    wasm.extend(content);
}

fn leb(out: &mut Vec<u8>, mut n: u32) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_as_promised() {
        assert!(locals_bomb().len() < 100);
        assert!(huge_function().len() > 1 << 20);
    }

    #[test]
    fn lengths_are_leb128() {
        let mut out = vec![];
        leb(&mut out, 624_485);
        assert_eq!(out, [0xe5, 0x8e, 0x26]);
    }
}
