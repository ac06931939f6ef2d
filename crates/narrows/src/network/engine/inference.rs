//! Rows through a part of a network: encode, decode, reconstruct.

use narrows_kernels::Level;
use narrows_kernels::aligned::Aligned;
use narrows_kernels::loss::MixedRow;

use super::chunks::CHUNK;
use super::layout::Layout;
use super::ops::{Chain, ParameterView, copy_from, copy_into};
use super::workspace::Block;
use crate::data::Shape;
use crate::network::plan::{Plan, Step};

/// A part of a network with the memory of one thread for it.
pub(crate) struct Inference<'a> {
    level: Level,
    chain: Chain<'a>,
    parameters: &'a [f32],
    packed: Aligned<f32>,
    arena: Aligned<f32>,
    scratch: Vec<f32>,
    outputs: Vec<f32>,
    /// Of a decoder trained by the mixed loss: which of its outputs are logits.
    columns: Option<MixedRow>,
    /// Numbers of a row that goes in and of one that comes out.
    widths: (usize, usize),
}

impl<'a> Inference<'a> {
    /// The steps left of the cut.
    pub fn encoder(level: Level, plan: &'a Plan, parameters: &'a [f32]) -> Self {
        Self::new(level, &plan.steps[..plan.cut], plan.input, parameters)
    }

    /// The steps left of the cut except the last, which draws the code: their outputs are the means and the logarithms of
    /// the variances of the code's distribution.
    pub fn code_distribution(level: Level, plan: &'a Plan, parameters: &'a [f32]) -> Self {
        Self::new(level, &plan.steps[..plan.cut - 1], plan.input, parameters)
    }

    /// The steps right of the cut.
    pub fn decoder(level: Level, plan: &'a Plan, parameters: &'a [f32]) -> Self {
        let decoder = Self::new(level, &plan.steps[plan.cut..], plan.code(), parameters);
        Self { columns: (!plan.columns.is_empty()).then(|| plan.mixed_row()), ..decoder }
    }

    fn new(level: Level, steps: &'a [Step], input: Shape, parameters: &'a [f32]) -> Self {
        let chain = Chain::inference(level, steps, Layout::inference(steps, input, CHUNK));
        let mut packed = Aligned::zeros(chain.packed_len);
        let mut scratch = vec![0.0; chain.scratch_len];
        chain.pack(parameters, &mut packed[..], &mut scratch);
        let arena = Aligned::zeros(chain.layout.arena_len);
        let output = steps.last().map_or(input, |step| step.output);
        let widths = (input.len(), output.len());
        Self { level, chain, parameters, packed, arena, scratch, outputs: Vec::new(), columns: None, widths }
    }

    /// Bytes that an encoder takes, its outputs for a chunk of rows included.
    pub fn encoder_bytes(plan: &Plan) -> usize {
        Self::bytes(&plan.steps[..plan.cut], plan.input)
    }

    /// As [`Inference::encoder_bytes`], for a decoder.
    pub fn decoder_bytes(plan: &Plan) -> usize {
        Self::bytes(&plan.steps[plan.cut..], plan.code())
    }

    fn bytes(steps: &[Step], input: Shape) -> usize {
        let layout = Layout::inference(steps, input, CHUNK);
        let needs = Chain::needs(steps, &layout, false);
        let outputs = steps.last().map_or(input, |step| step.output).len().saturating_mul(CHUNK);
        [layout.arena_len, needs.packed_len, needs.scratch_len, outputs]
            .into_iter()
            .fold(0, usize::saturating_add)
            .saturating_mul(size_of::<f32>())
            .saturating_add(needs.table_bytes)
    }

    /// Takes rows through the steps. With `logits` the last function is left out.
    pub fn forward(&mut self, rows: &[f32], logits: bool) -> &[f32] {
        let (inputs, outputs) = self.widths;
        let chain = &self.chain;
        let block_len = chain.layout.block;
        self.outputs.resize(rows.len() / inputs * outputs, 0.0);
        let last = chain.steps.len();
        let (first_value, last_value) = (chain.layout.values[0], chain.layout.values[last]);
        for (rows, out) in rows.chunks(block_len * inputs).zip(self.outputs.chunks_mut(block_len * outputs)) {
            let rows_of_block = rows.len() / inputs;
            let mut block = Block { shared: None, first: 0, arena: &mut self.arena[..], rows: rows_of_block };
            let [input] = block.tensors([first_value]);
            copy_into(first_value, input, rows);
            let (parameters, packed) = (self.parameters, &self.packed[..]);
            let weights = ParameterView { parameters, packed, statistics: None };
            for i in 0..last {
                let logits = logits && i + 1 == last;
                chain.forward(i, &mut block, weights, None, logits, &mut self.scratch);
            }
            let [output] = block.tensors([last_value]);
            copy_from(last_value, out, output);
            if !logits && let Some(columns) = &self.columns {
                columns.probabilities(self.level, out);
            }
        }
        &self.outputs
    }
}
