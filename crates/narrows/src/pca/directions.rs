//! Principal directions, however they were found.

/// Principal directions, about the mean or about zero.
pub(crate) struct Principal {
    /// k x width: orthonormal rows, in decreasing order of the sum of squares along them.
    pub directions: Vec<f64>,
    /// The sum of squares along each direction (k), in decreasing order: the eigenvalues.
    pub squares: Vec<f64>,
    /// The sum of squares along all directions: the trace.
    pub total: f64,
}

impl Principal {
    /// The first `k` directions.
    ///
    /// # Panics
    /// Where there are fewer.
    pub fn first(&self, k: usize) -> Self {
        let width = self.directions.len() / self.squares.len().max(1);
        Self {
            directions: self.directions[..k * width].to_vec(),
            squares: self.squares[..k].to_vec(),
            total: self.total,
        }
    }
}

/// What the randomised solver did.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Passes {
    /// Passes over the rows, the one for the mean among them.
    pub passes: usize,
    /// The largest distance of a variance from that of an exact component, as a fraction of it, as far as residuals tell.
    pub error: f64,
}

/// The leading principal directions, found by passes over the rows.
pub(crate) struct Leading {
    pub about_mean: Principal,
    pub about_zero: Principal,
    pub passes: Passes,
}
