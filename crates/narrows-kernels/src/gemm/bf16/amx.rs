//! The matrix unit (AMX): tiles of 16 rows of 64 bytes. Its intrinsics are not stable in Rust, so the instructions are written out.

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, _xgetbv};
use std::sync::OnceLock;

use super::packing::{SIDE, TILE_LEN};

/// Bytes of a row of a tile.
const ROW_BYTES: usize = SIDE * size_of::<u32>();

/// Whether the processor has the unit, and the operating system lets this process use it.
pub(super) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has_instructions() && is_permitted())
}

/// Leaf 7 of CPUID: bit 22 of EDX is AMX-BF16, bit 24 AMX-TILE; the tiles are bits 17 and 18 of the state that is saved.
fn has_instructions() -> bool {
    const INSTRUCTIONS: u32 = 1 << 22 | 1 << 24;
    const SAVED_STATE: u64 = 3 << 17;
    if !is_x86_feature_detected!("xsave") || __cpuid_count(7, 0).edx & INSTRUCTIONS != INSTRUCTIONS {
        return false;
    }
    // SAFETY: the processor has XSAVE, and AVX-512 was found, for which the operating system has enabled it.
    unsafe { state_components() & SAVED_STATE == SAVED_STATE }
}

#[target_feature(enable = "xsave")]
unsafe fn state_components() -> u64 {
    // SAFETY: guaranteed by the caller.
    unsafe { _xgetbv(0) }
}

/// Asks Linux for the tiles, which a process may use only after it has asked. Other systems are not asked.
fn is_permitted() -> bool {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        const ARCH_PRCTL: i64 = 158;
        const REQUEST_PERMISSION: u64 = 0x1023;
        const TILE_DATA: u64 = 18;
        let mut result = ARCH_PRCTL;
        // SAFETY: the call changes nothing but what the process may use.
        unsafe {
            asm!("syscall", inout("rax") result, in("rdi") REQUEST_PERMISSION, in("rsi") TILE_DATA,
                out("rcx") _, out("r11") _, options(nostack));
        }
        result == 0
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    false
}

/// The shapes of tiles, as `ldtilecfg` reads them.
#[repr(C, align(64))]
struct Shapes([u8; 64]);

/// The tiles of this thread, released when dropped, so that a switch of threads need not save them.
pub(super) struct Tiles(());

impl Tiles {
    /// # Safety
    /// [`is_available`].
    pub unsafe fn new() -> Self {
        const PALETTE: usize = 0;
        const BYTES_OF_ROWS: usize = 16;
        const ROWS: usize = 48;
        let mut shapes = Shapes([0; 64]);
        shapes.0[PALETTE] = 1;
        for tile in 0..8 {
            shapes.0[BYTES_OF_ROWS + 2 * tile] = ROW_BYTES as u8;
            shapes.0[ROWS + tile] = SIDE as u8;
        }
        // SAFETY: 64 bytes are read.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &shapes, options(nostack, readonly)) }
        Self(())
    }

    /// The product of two tiles of A, one below the other, and two of B, side by side: 32 x 32 sums in `c`, rows `2 * SIDE` apart.
    /// `a` and `b` have the two tiles of each of `blocks` steps along k, one after the other.
    pub fn multiply(&self, c: &mut [f32; 4 * TILE_LEN], a: &[u32], b: &[u32], blocks: usize) {
        assert!(a.len() >= blocks * 2 * TILE_LEN && b.len() >= blocks * 2 * TILE_LEN && blocks > 0);
        const TILE_BYTES: usize = TILE_LEN * size_of::<u32>();
        // SAFETY: the tiles are configured (`new`); each load reads one of the tiles whose number was checked, each store writes
        // 16 rows of 64 bytes of the 32 x 32 numbers, 128 bytes apart.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{a} + {row}*1]",
                "tileloadd tmm6, [{b} + {row}*1]",
                "tileloadd tmm7, [{b} + {row}*1 + {tile}]",
                "tileloadd tmm5, [{a} + {row}*1 + {tile}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a}, 2*{tile}",
                "add {b}, 2*{tile}",
                "dec {blocks}",
                "jnz 2b",
                "tilestored [{c} + {c_row}*1], tmm0",
                "tilestored [{c} + {c_row}*1 + {row_bytes}], tmm1",
                "tilestored [{c} + {c_row}*1 + {tile}*2], tmm2",
                "tilestored [{c} + {c_row}*1 + {tile}*2 + {row_bytes}], tmm3",
                a = inout(reg) a.as_ptr() => _,
                b = inout(reg) b.as_ptr() => _,
                blocks = inout(reg) blocks => _,
                c = in(reg) c.as_mut_ptr(),
                row = in(reg) ROW_BYTES,
                c_row = in(reg) 2 * ROW_BYTES,
                tile = const TILE_BYTES,
                row_bytes = const ROW_BYTES,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: the unit is available, or there were no tiles.
        unsafe { asm!("tilerelease", options(nostack, nomem)) }
    }
}
