//! SIMD levels: detection at run time, and the macro that calls a kernel with the token of a level.

/// A SIMD level: the instruction set that a kernel uses. [`Level::detect`] asks the processor; a level that the
/// processor lacks cannot be constructed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Level(pub(crate) InstructionSet);

/// The instruction sets, slowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum InstructionSet {
    Portable,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX-512 with VNNI and BF16, and the matrix unit for products in bytes and in bfloat16.
    #[cfg(target_arch = "x86_64")]
    Amx,
}

impl Level {
    /// The environment variable that lowers the level: `plain`, `avx2`, `avx512`, `amx` or `neon`.
    pub const VARIABLE: &'static str = "NARROWS_SIMD";

    /// The best level of this processor, or the level named by [`Level::VARIABLE`]. An unknown name, or a level that
    /// the processor lacks, is ignored. Detection runs once per process.
    pub fn detect() -> Self {
        static DETECTED: std::sync::OnceLock<Level> = std::sync::OnceLock::new();
        *DETECTED.get_or_init(Self::ask)
    }

    fn ask() -> Self {
        let best = *Self::available().last().expect("the portable level is always available");
        match std::env::var(Self::VARIABLE) {
            Ok(name) => Self::available().into_iter().find(|level| level.name() == name).unwrap_or(best),
            Err(_) => best,
        }
    }

    /// All levels of this processor, slowest first.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut)]
        let mut levels = vec![Self(InstructionSet::Portable)];
        #[cfg(target_arch = "aarch64")]
        levels.push(Self(InstructionSet::Neon));
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                levels.push(Self(InstructionSet::Avx2));
                if is_x86_feature_detected!("avx512f") {
                    levels.push(Self(InstructionSet::Avx512));
                    if super::amx::is_available() {
                        levels.push(Self(InstructionSet::Amx));
                    }
                }
            }
        }
        levels
    }

    /// The level for rows of `columns` elements: AVX2 instead of AVX-512 if at least half of each 512-bit register
    /// would be empty.
    pub(crate) fn for_columns(self, columns: usize) -> Self {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 | InstructionSet::Amx if columns <= 8 => Self(InstructionSet::Avx2),
            _ => {
                let _ = columns;
                self
            }
        }
    }

    /// `plain`, `neon`, `avx2`, `avx512` or `amx`.
    pub fn name(self) -> &'static str {
        match self.0 {
            InstructionSet::Portable => "plain",
            #[cfg(target_arch = "aarch64")]
            InstructionSet::Neon => "neon",
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Amx => "amx",
        }
    }
}

/// Evaluates an expression with the token of a level: `dispatch!(level, simd => kernel(simd, ...))`.
/// The expression is compiled once per level, inside a function that has the level's instructions enabled.
macro_rules! dispatch {
    ($level:expr, $simd:ident => $body:expr) => {
        match $level.0 {
            $crate::simd::InstructionSet::Portable => {
                let $simd = $crate::simd::Portable::<4>;
                $body
            }
            #[cfg(target_arch = "aarch64")]
            $crate::simd::InstructionSet::Neon => {
                // SAFETY: NEON is part of the aarch64 baseline.
                let $simd = unsafe { $crate::simd::Neon::new_unchecked() };
                $body
            }
            #[cfg(target_arch = "x86_64")]
            $crate::simd::InstructionSet::Avx2 => {
                #[target_feature(enable = "avx2,fma")]
                fn vectorize<R>(work: impl FnOnce() -> R) -> R {
                    work()
                }
                // SAFETY: `Level` holds this value only if the processor has AVX2 and FMA.
                unsafe {
                    let $simd = $crate::simd::Avx2::new_unchecked();
                    vectorize(
                        #[inline(always)]
                        || $body,
                    )
                }
            }
            #[cfg(target_arch = "x86_64")]
            $crate::simd::InstructionSet::Avx512 | $crate::simd::InstructionSet::Amx => {
                #[target_feature(enable = "avx512f,avx2,fma")]
                fn vectorize<R>(work: impl FnOnce() -> R) -> R {
                    work()
                }
                // SAFETY: `Level` holds this value only if the processor has AVX-512F.
                unsafe {
                    let $simd = $crate::simd::Avx512::new_unchecked();
                    vectorize(
                        #[inline(always)]
                        || $body,
                    )
                }
            }
        }
    };
}
pub(crate) use dispatch;
