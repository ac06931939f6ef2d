//! The matrix unit of Intel processors (AMX): products of tiles of 16 rows of 64 bytes.
//!
//! A tile of the left factor has 16 rows of the result, each with 16 groups of 4 bytes along the inner dimension; a tile of the
//! right factor has 16 such groups, each a row of 16 columns of the result. A group is four bytes, or two numbers in bfloat16.
//! The intrinsics are not stable in Rust, so the instructions are written out.

use std::arch::asm;
use std::arch::x86_64::*;
use std::marker::PhantomData;
use std::sync::OnceLock;

/// Rows of a tile, and its groups of 4 bytes in a row.
pub(crate) const SIDE: usize = 16;

/// Groups of a tile.
pub(crate) const TILE_LEN: usize = SIDE * SIDE;

/// Bytes of a tile.
const TILE_BYTES: usize = TILE_LEN * size_of::<u32>();

/// Bytes of a row of a tile.
const ROW_BYTES: usize = SIDE * size_of::<u32>();

/// Whether the processor has the unit, with AVX-512 BW, VL, VNNI and BF16, and the operating system lets this process use it.
pub(crate) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has_instructions() && is_permitted())
}

/// Leaf 7 of CPUID: bit 22 of EDX is AMX-BF16, bit 24 AMX-TILE, bit 25 AMX-INT8; the tiles are bits 17 and 18 of the state that is saved.
fn has_instructions() -> bool {
    const INSTRUCTIONS: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    const SAVED_STATE: u64 = 3 << 17;
    let has_vectors = is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("avx512bf16");
    if !has_vectors
        || !is_x86_feature_detected!("xsave")
        || __cpuid_count(7, 0).edx & INSTRUCTIONS != INSTRUCTIONS
    {
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

/// Clears the sums of two tiles by two.
macro_rules! zero_sums {
    () => {
        "tilezero tmm0\n tilezero tmm1\n tilezero tmm2\n tilezero tmm3"
    };
}

/// Loads the sums, as [`store_sums`] leaves them.
macro_rules! load_sums {
    () => {
        concat!(
            "tileloadd tmm0, [{sums} + {two_rows}*1]\n",
            "tileloadd tmm1, [{sums} + {two_rows}*1 + {row_bytes}]\n",
            "tileloadd tmm2, [{sums} + {two_rows}*1 + 2*{tile}]\n",
            "tileloadd tmm3, [{sums} + {two_rows}*1 + 2*{tile} + {row_bytes}]"
        )
    };
}

/// Adds the products of two tiles of A (4 and 5) and two of B (6 and 7) to the sums.
macro_rules! four_products {
    ($operation:literal) => {
        concat!(
            $operation,
            " tmm0, tmm4, tmm6\n",
            $operation,
            " tmm1, tmm4, tmm7\n",
            $operation,
            " tmm2, tmm5, tmm6\n",
            $operation,
            " tmm3, tmm5, tmm7"
        )
    };
}

/// Stores the sums: 32 rows of 32, which are `two_rows` bytes apart.
macro_rules! store_sums {
    () => {
        concat!(
            "tilestored [{sums} + {two_rows}*1], tmm0\n",
            "tilestored [{sums} + {two_rows}*1 + {row_bytes}], tmm1\n",
            "tilestored [{sums} + {two_rows}*1 + 2*{tile}], tmm2\n",
            "tilestored [{sums} + {two_rows}*1 + 2*{tile} + {row_bytes}], tmm3"
        )
    };
}

/// Runs a step for two tiles of A by two of B, once for each of `steps` (one at least), between the `start` and the stores of the sums.
/// A step moves the addresses `a` and `b` on.
macro_rules! multiply_tiles {
    (($sums:ident, $a:ident, $b:ident, $steps:ident), $start:expr, $($line:expr),* $(,)?) => {
        asm!(
            $start,
            "2:",
            $($line,)*
            "dec {steps}",
            "jnz 2b",
            store_sums!(),
            a = inout(reg) $a.as_ptr() => _,
            b = inout(reg) $b.as_ptr() => _,
            steps = inout(reg) $steps => _,
            sums = in(reg) $sums.as_mut_ptr(),
            row = in(reg) ROW_BYTES,
            two_rows = in(reg) 2 * ROW_BYTES,
            tile = const TILE_BYTES,
            row_bytes = const ROW_BYTES,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// The shapes of tiles, as `ldtilecfg` reads them.
#[repr(C, align(64))]
struct Shapes([u8; 64]);

/// The tiles of this thread, released when dropped, so that a switch of threads need not save them. They do not leave the thread.
pub(crate) struct Tiles(PhantomData<*const ()>);

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
        Self(PhantomData)
    }

    /// The product in bfloat16 of two tiles of A, one below the other, and two of B, side by side, summed over `steps` along k:
    /// 32 x 32 sums. `a` and `b` have the two tiles of each step one after the other.
    pub fn multiply_bf16(&self, sums: &mut [f32; 4 * TILE_LEN], a: &[u32], b: &[u32], steps: usize) {
        assert!(a.len() >= steps * 2 * TILE_LEN && b.len() >= steps * 2 * TILE_LEN && steps > 0);
        // SAFETY: the tiles are configured (`new`); each load reads a tile whose number was checked, each store writes 16 rows of
        // 64 bytes of the 32 x 32 sums, 128 bytes apart.
        unsafe {
            multiply_tiles!(
                (sums, a, b, steps),
                zero_sums!(),
                "tileloadd tmm4, [{a} + {row}*1]",
                "tileloadd tmm6, [{b} + {row}*1]",
                "tileloadd tmm7, [{b} + {row}*1 + {tile}]",
                "tileloadd tmm5, [{a} + {row}*1 + {tile}]",
                four_products!("tdpbf16ps"),
                "add {a}, 2*{tile}",
                "add {b}, 2*{tile}",
            );
        }
    }

    /// Adds to `sums` a product as that of [`Tiles::multiply_bf16`], of numbers in single precision that are sums of three pieces in
    /// bfloat16 each, high, middle and low. `a` and `b` have for each step the two tiles of the high pieces, then those of the others.
    /// The products of the middle and the low pieces with the low ones are left out: they are below rounding.
    pub fn add_product_of_pieces(&self, sums: &mut [f32; 4 * TILE_LEN], a: &[u32], b: &[u32], steps: usize) {
        assert!(a.len() >= steps * 6 * TILE_LEN && b.len() >= steps * 6 * TILE_LEN && steps > 0);
        // SAFETY: as in `multiply_bf16`, with six tiles for each step.
        unsafe {
            multiply_tiles!(
                (sums, a, b, steps),
                load_sums!(),
                // High by high.
                "tileloadd tmm4, [{a} + {row}*1]",
                "tileloadd tmm6, [{b} + {row}*1]",
                "tileloadd tmm7, [{b} + {row}*1 + {tile}]",
                "tileloadd tmm5, [{a} + {row}*1 + {tile}]",
                four_products!("tdpbf16ps"),
                // High by middle.
                "tileloadd tmm6, [{b} + {row}*1 + 2*{tile}]",
                "tileloadd tmm7, [{b} + {row}*1 + 3*{tile}]",
                four_products!("tdpbf16ps"),
                // High by low.
                "tileloadd tmm6, [{b} + {row}*1 + 4*{tile}]",
                "tileloadd tmm7, [{b} + {row}*1 + 5*{tile}]",
                four_products!("tdpbf16ps"),
                // Low by high.
                "tileloadd tmm4, [{a} + {row}*1 + 4*{tile}]",
                "tileloadd tmm6, [{b} + {row}*1]",
                "tileloadd tmm7, [{b} + {row}*1 + {tile}]",
                "tileloadd tmm5, [{a} + {row}*1 + 5*{tile}]",
                four_products!("tdpbf16ps"),
                // Middle by high.
                "tileloadd tmm4, [{a} + {row}*1 + 2*{tile}]",
                "tileloadd tmm5, [{a} + {row}*1 + 3*{tile}]",
                four_products!("tdpbf16ps"),
                // Middle by middle.
                "tileloadd tmm6, [{b} + {row}*1 + 2*{tile}]",
                "tileloadd tmm7, [{b} + {row}*1 + 3*{tile}]",
                four_products!("tdpbf16ps"),
                "add {a}, 6*{tile}",
                "add {b}, 6*{tile}",
            );
        }
    }

    /// The exact product of signed bytes (A) and unsigned ones (B), as [`Tiles::multiply_bf16`]. The two tiles of B lie side by
    /// side: a row of 32 columns after the other.
    pub fn multiply_bytes(&self, sums: &mut [i32; 4 * TILE_LEN], a: &[i8], b: &[u8], steps: usize) {
        assert!(a.len() >= steps * 2 * TILE_BYTES && b.len() >= steps * 2 * TILE_BYTES && steps > 0);
        // SAFETY: as in `multiply_bf16`; the rows of B are 128 bytes apart.
        unsafe {
            multiply_tiles!(
                (sums, a, b, steps),
                zero_sums!(),
                "tileloadd tmm4, [{a} + {row}*1]",
                "tileloadd tmm6, [{b} + {two_rows}*1]",
                "tileloadd tmm7, [{b} + {two_rows}*1 + {row_bytes}]",
                "tileloadd tmm5, [{a} + {row}*1 + {tile}]",
                four_products!("tdpbsud"),
                "add {a}, 2*{tile}",
                "add {b}, 2*{tile}",
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

/// The transpose of 16 x 16 groups of 4 bytes: a tile of the left factor from one of the right.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn transposed(rows: [__m512i; SIDE]) -> [__m512i; SIDE] {
    let mut by_two = rows;
    for i in (0..SIDE).step_by(2) {
        by_two[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        by_two[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    let mut by_four = by_two;
    for i in (0..SIDE).step_by(4) {
        by_four[i] = _mm512_unpacklo_epi64(by_two[i], by_two[i + 2]);
        by_four[i + 1] = _mm512_unpackhi_epi64(by_two[i], by_two[i + 2]);
        by_four[i + 2] = _mm512_unpacklo_epi64(by_two[i + 1], by_two[i + 3]);
        by_four[i + 3] = _mm512_unpackhi_epi64(by_two[i + 1], by_two[i + 3]);
    }
    // Register 4 i + j has, in its lane of 128 bits number l, column 4 l + j of rows 4 i to 4 i + 3.
    let mut columns = by_four;
    for j in 0..4 {
        let [a, b, c, d] = [by_four[j], by_four[4 + j], by_four[8 + j], by_four[12 + j]];
        let (ab_even, ab_odd) = (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xdd>(a, b));
        let (cd_even, cd_odd) = (_mm512_shuffle_i32x4::<0x88>(c, d), _mm512_shuffle_i32x4::<0xdd>(c, d));
        columns[j] = _mm512_shuffle_i32x4::<0x88>(ab_even, cd_even);
        columns[4 + j] = _mm512_shuffle_i32x4::<0x88>(ab_odd, cd_odd);
        columns[8 + j] = _mm512_shuffle_i32x4::<0xdd>(ab_even, cd_even);
        columns[12 + j] = _mm512_shuffle_i32x4::<0xdd>(ab_odd, cd_odd);
    }
    columns
}
