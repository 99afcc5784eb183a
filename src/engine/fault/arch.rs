//! What differs between processors: the interrupted context and the ways to stop at an instruction.
//!
//! Problem: the handler must know where a thread was interrupted and, on x86-64, be able to stop it
//! when native code returns to the guest.
//!
//! Answer: a few accessors of `ucontext_t`, the trap flag, and a two-instruction landing place for
//! replaced return addresses.
//!
//! What it does not do: aarch64 has neither a trap flag for programs nor return addresses at a known
//! place; there the watchdog's repeated signals have to meet the guest in its own code.

use std::ffi::c_void;

pub(super) use imp::*;

#[cfg(target_arch = "x86_64")]
mod imp {
    use super::c_void;

    const TRAP_FLAG: i64 = 0x100;
    pub const RETURN_IS_AT_CFA: bool = true;

    std::arch::global_asm!(
        // The byte before the landing place belongs to no function's unwind table, so that unwinders
        // that meet it stop there instead of misreading the frame.
        ".text",
        ".balign 16",
        "nop",
        ".hidden remotemedia_fault_landing",
        ".globl remotemedia_fault_landing",
        "remotemedia_fault_landing:",
        "int3",
        "ud2",
    );

    unsafe extern "C" {
        fn remotemedia_fault_landing();
    }

    fn context(context: *mut c_void) -> *mut libc::mcontext_t {
        // SAFETY: the kernel hands a valid ucontext to the handler.
        unsafe { &raw mut (*context.cast::<libc::ucontext_t>()).uc_mcontext }
    }

    fn get(ctx: *mut c_void, register: libc::c_int) -> usize {
        // SAFETY: as above, and the register indices are constants of libc.
        unsafe { (*context(ctx)).gregs[register as usize] as usize }
    }

    fn set(ctx: *mut c_void, register: libc::c_int, value: usize) {
        // SAFETY: as above.
        unsafe { (*context(ctx)).gregs[register as usize] = value as i64 }
    }

    pub fn pc(ctx: *mut c_void) -> usize {
        get(ctx, libc::REG_RIP)
    }

    pub fn set_pc(ctx: *mut c_void, pc: usize) {
        set(ctx, libc::REG_RIP, pc);
    }

    pub fn sp(ctx: *mut c_void) -> usize {
        get(ctx, libc::REG_RSP)
    }

    /// Makes the thread trap after every instruction, or no longer. False: impossible here.
    pub fn single_step(ctx: *mut c_void, on: bool) -> bool {
        let flags = get(ctx, libc::REG_EFL) as i64;
        let flags = if on { flags | TRAP_FLAG } else { flags & !TRAP_FLAG };
        set(ctx, libc::REG_EFL, flags as usize);
        true
    }

    /// Address to which a replaced return address leads.
    pub fn landing() -> usize {
        remotemedia_fault_landing as *const () as usize
    }

    /// The trap at the landing place has just been hit.
    pub fn landed(ctx: *mut c_void) -> bool {
        pc(ctx) == landing() + 1
    }

    /// With a shadow stack the processor itself would notice replaced return addresses.
    pub fn shadow_stack() -> bool {
        const ARCH_SHSTK_STATUS: libc::c_long = 0x5005;
        let mut status = 0u64;
        // SAFETY: writes one u64; unknown to old kernels, which have no user shadow stacks either.
        let rc = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SHSTK_STATUS, &raw mut status) };
        rc == 0 && status & 1 != 0
    }

    /// The bytes before `address` are a call instruction. The caller has checked that the eight bytes
    /// before it are readable.
    pub fn follows_call(address: usize) -> bool {
        let before = |n: usize| {
            // SAFETY: see above.
            unsafe { *((address - n) as *const u8) }
        };
        // call rel32, or FF /2 with any addressing form (2 to 7 bytes, perhaps one prefix).
        before(5) == 0xe8 || [2, 3, 4, 6, 7].iter().any(|&n| before(n) == 0xff && before(n - 1) & 0x38 == 0x10)
    }
}

#[cfg(target_arch = "aarch64")]
mod imp {
    use super::c_void;

    pub const RETURN_IS_AT_CFA: bool = false;

    fn context(context: *mut c_void) -> *mut libc::mcontext_t {
        // SAFETY: the kernel hands a valid ucontext to the handler.
        unsafe { &raw mut (*context.cast::<libc::ucontext_t>()).uc_mcontext }
    }

    pub fn pc(ctx: *mut c_void) -> usize {
        // SAFETY: as above.
        unsafe { (*context(ctx)).pc as usize }
    }

    pub fn set_pc(ctx: *mut c_void, pc: usize) {
        // SAFETY: as above.
        unsafe { (*context(ctx)).pc = pc as u64 }
    }

    pub fn sp(ctx: *mut c_void) -> usize {
        // SAFETY: as above.
        unsafe { (*context(ctx)).sp as usize }
    }

    pub fn single_step(_: *mut c_void, _: bool) -> bool {
        false
    }

    pub fn landing() -> usize {
        0
    }

    pub fn landed(_: *mut c_void) -> bool {
        false
    }

    pub fn shadow_stack() -> bool {
        false
    }

    pub fn follows_call(_: usize) -> bool {
        false
    }
}
