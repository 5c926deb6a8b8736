//! The tiles of Intel's AMX, 16 rows of 64 bytes, whose products are 8 times as fast as those of vectors.
//!
//! The compiler has no stable functions for them, so that they are written in assembly. It uses no tile itself: what they hold stays
//! from one block of assembly to the next on the same thread.

use std::arch::asm;
use std::sync::OnceLock;

use super::processor;

/// Rows of a product at a time: two tiles.
pub(super) const ROWS: usize = 32;
/// Columns of a product at a time: two tiles.
pub(super) const COLUMNS: usize = 32;
/// Bytes of a tile's row.
pub(super) const ROW_BYTES: usize = 64;

/// True if products of signed bytes run here.
pub(super) fn multiplies_int8() -> bool {
    processor::has("amx_int8") && permitted()
}

/// True if products of bf16 run here.
pub(super) fn multiplies_bf16() -> bool {
    processor::has("amx_bf16") && permitted()
}

/// Linux lets a process use tiles once it has asked for them, since they enlarge what is saved of every thread.
fn permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    static PERMITTED: OnceLock<bool> = OnceLock::new();
    // SAFETY: the call changes nothing but this permission.
    #[allow(unsafe_code)]
    let ask = || unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 };
    *PERMITTED.get_or_init(|| processor::has("amx_tile") && ask())
}

/// Does work that multiplies by tiles on this thread, with eight whole tiles.
pub(super) fn with_tiles<R>(work: impl FnOnce() -> R) -> R {
    /// As the processor reads it (Intel's manual, LDTILECFG).
    #[repr(C, align(64))]
    struct Shapes {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        row_bytes: [u16; 16],
        rows: [u8; 16],
    }
    /// Without this, the thread's tiles would be saved at every switch to another.
    struct Release;
    impl Drop for Release {
        fn drop(&mut self) {
            // SAFETY: the tiles are in use, as this was made after they were shaped.
            #[allow(unsafe_code)]
            unsafe {
                asm!("tilerelease", options(nostack, nomem));
            }
        }
    }
    let mut shapes = Shapes { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    shapes.row_bytes[..8].fill(ROW_BYTES as u16);
    shapes.rows[..8].fill((ROWS / 2) as u8);
    // SAFETY: whoever multiplies by tiles has seen that the processor has them, and `shapes` has the size that is read.
    #[allow(unsafe_code)]
    unsafe {
        asm!("ldtilecfg [{shapes}]", shapes = in(reg) &raw const shapes, options(nostack, readonly));
    }
    let _release = Release;
    work()
}

/// A function `(rows, panel, tile)` around an instruction that multiplies tiles.
macro_rules! multiply {
    ($(#[$documentation:meta])* $name:ident, $instruction:literal, $lhs:ty, $rhs:ty, $tile:ty) => {
        $(#[$documentation])*
        pub(super) fn $name(rows: &[$lhs], panel: &[$rhs], tile: &mut $tile) {
            let width = size_of_val(rows) / ROWS;
            let steps = width / ROW_BYTES;
            assert!(
                steps > 0 && size_of_val(rows) == steps * ROW_BYTES * ROWS && size_of_val(panel) == steps * ROW_BYTES * COLUMNS,
                "panels of another width"
            );
            // SAFETY: the caller is within `with_tiles`. Of `rows` the two halves are read, 16 rows of `width` bytes each, 64 bytes a
            // step; of `panel` 16 lines of 128 bytes a step; all 32 lines of 128 bytes of `tile` are written.
            #[allow(unsafe_code)]
            unsafe {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "2:",
                    "tileloadd tmm4, [{upper} + {width} * 1]",
                    "tileloadd tmm6, [{panel} + {line} * 1]",
                    "tileloadd tmm7, [{panel} + {line} * 1 + 64]",
                    "tileloadd tmm5, [{lower} + {width} * 1]",
                    concat!($instruction, " tmm0, tmm4, tmm6"),
                    concat!($instruction, " tmm1, tmm4, tmm7"),
                    concat!($instruction, " tmm2, tmm5, tmm6"),
                    concat!($instruction, " tmm3, tmm5, tmm7"),
                    "add {upper}, 64",
                    "add {lower}, 64",
                    "add {panel}, 2048",
                    "dec {steps}",
                    "jnz 2b",
                    "tilestored [{tile} + {line} * 1], tmm0",
                    "tilestored [{tile} + {line} * 1 + 64], tmm1",
                    "tilestored [{tile} + {line} * 1 + 2048], tmm2",
                    "tilestored [{tile} + {line} * 1 + 2112], tmm3",
                    upper = inout(reg) rows.as_ptr() => _,
                    lower = inout(reg) rows.as_ptr().cast::<u8>().add(ROWS / 2 * width) => _,
                    panel = inout(reg) panel.as_ptr() => _,
                    steps = inout(reg) steps => _,
                    width = in(reg) width,
                    line = in(reg) 2 * ROW_BYTES,
                    tile = in(reg) tile.as_mut_ptr(),
                    options(nostack),
                );
            }
        }
    };
}

multiply!(
    /// The sums of a tile, row by row, on a thread [`with_tiles`].
    ///
    /// # Shapes
    /// `rows` `[32, 4 q]`, `panel` `[q, 32, 4]` -> `tile` `[32, 32]`, with `q` a multiple of 16.
    multiply_int8, "tdpbssd", i8, i8, [i32; ROWS * COLUMNS]
);
multiply!(
    /// As [`multiply_int8`], of bf16 numbers, pairs of which the panel has as one number.
    ///
    /// # Shapes
    /// `rows` `[32, 2 p]`, `panel` `[p, 32]` -> `tile` `[32, 32]`, with `p` a multiple of 16.
    multiply_bf16, "tdpbf16ps", u16, [u32; COLUMNS], [[f32; COLUMNS]; ROWS]
);
