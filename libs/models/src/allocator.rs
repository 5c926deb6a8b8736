//! The allocator of every binary that trains or scores.

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// `mi_option_purge_delay` of mimalloc's list of options, which the bindings leave out.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Keeps freed memory for the steps to come. By default it goes back to the system after milliseconds, which then clears
/// the same pages again in every step.
pub fn keep_freed_memory() {
    // SAFETY: any thread may set an option at any time; -1 means never.
    #[allow(unsafe_code)]
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, -1);
    }
}
