//! Gradients against difference quotients in double precision, for every layer, loss and activation.

use narrows_kernels::pooling::PoolGeometry;
use narrows_kernels::{Level, noise, optimizer, reference};

use super::super::workspace::RngContext;
use super::super::*;
use super::{network, rows};
use crate::base::random::Purpose;
use crate::data::{ColumnError, EncodedColumn, Shape, Table, Values};
use crate::network::init::initial_parameters;
use crate::network::noise::Mode;
use crate::network::plan::{EPSILON, Op, Step, image};
use crate::recipe::Sparsity;

/// The network's loss in double precision from the reference functions, with the KL divergence of a sampled code.
fn loss(plan: &Plan, parameters: &[f64], rows: &[f64]) -> f64 {
    let width = plan.input.len();
    let mut total = 0.0;
    let filled: Vec<f64> = match &plan.fill {
        Some(fill) => {
            let fill = fill.iter().cycle();
            rows.iter().zip(fill).map(|(&x, &other)| if x.is_nan() { f64::from(other) } else { x }).collect()
        }
        None => rows.to_vec(),
    };
    let outputs = through(plan, plan.steps.len(), parameters, &filled, |step, x| {
        if let Op::Sample { divergence: weight } = step.op {
            total += f64::from(weight) * reference::kl_divergence(x);
        }
    });
    for (x, row) in outputs.iter().zip(rows.chunks(width)) {
        total += match plan.loss {
            Loss::CrossEntropy => reference::cross_entropy_logits(x, row),
            _ => mean_of_observed(plan, x, row) * loss_width(plan) as f64,
        };
    }
    total / (rows.len() / width * loss_width(plan)) as f64
}

/// The mean of the weighted errors of the columns whose numbers are there; 0 where none is.
fn mean_of_observed(plan: &Plan, x: &[f64], row: &[f64]) -> f64 {
    let single = |at: usize| EncodedColumn { range: at..at + 1, error: ColumnError::Squared, weight: 1.0 };
    let columns: Vec<EncodedColumn> =
        if plan.columns.is_empty() { (0..row.len()).map(single).collect() } else { plan.columns.clone() };
    let observed = columns.iter().filter(|column| row[column.range.clone()].iter().all(|x| !x.is_nan()));
    let errors: Vec<f64> = observed
        .map(|column| {
            let (x, t) = (&x[column.range.clone()], &row[column.range.clone()]);
            let error = match (plan.loss, column.error) {
                (Loss::Mae, _) => reference::absolute_error(x, t),
                (Loss::Huber, _) => reference::huber(x, t),
                (Loss::Bce, _) | (_, ColumnError::Binary) => reference::bce_logits(x, t),
                (_, ColumnError::Squared) => reference::squared_error(x, t),
                (_, ColumnError::Categorical) => reference::cross_entropy_logits(x, t),
            };
            column.weight * error
        })
        .collect();
    errors.iter().sum::<f64>() / errors.len().max(1) as f64
}

/// The outputs of the first `count` steps for each row of a batch in training; `see` gets the inputs of each step.
fn through(
    plan: &Plan,
    count: usize,
    parameters: &[f64],
    rows: &[f64],
    mut see: impl FnMut(&Step, &[f64]),
) -> Vec<Vec<f64>> {
    let mut batch: Vec<Vec<f64>> = rows.chunks(plan.input.len()).map(<[f64]>::to_vec).collect();
    for (i, step) in plan.steps[..count].iter().enumerate() {
        batch.iter().for_each(|x| see(step, x));
        let logits = i + 1 == plan.steps.len() && plan.loss_takes_logits();
        if let Op::BatchNorm { scale, shift, .. } = &step.op {
            let (means, variances) = reference::moments(&batch.concat(), step.input.len());
            let learned = (&parameters[scale.clone()], &parameters[shift.clone()]);
            for x in &mut batch {
                let y = reference::normalize(x, (&means, &variances), learned, f64::from(EPSILON));
                let end = |y| if logits { y } else { reference::activate(step.activation, y) };
                *x = y.into_iter().map(end).collect();
            }
            continue;
        }
        for (index, x) in batch.iter_mut().enumerate() {
            *x = forward(step, parameters, x, logits, (i, index));
        }
    }
    batch
}

/// The penalties on weights and on an active code.
fn penalty(plan: &Plan, parameters: &[f64], rows: &[f64]) -> f64 {
    let mut paid = 0.0;
    for parameter in plan.parameters.iter().filter(|parameter| parameter.kind.is_weights()) {
        let weights = &parameters[parameter.range.clone()];
        let squares: f64 = weights.iter().map(|w| w * w).sum();
        paid += f64::from(plan.weights.l2.unwrap_or(0.0)) * squares;
        paid += f64::from(plan.weights.elimination.unwrap_or(0.0)) * reference::weight_elimination(weights);
    }
    let Some(sparsity) = plan.sparsity else { return paid };
    let width = plan.input.len();
    let n = (rows.len() / width) as f64;
    let codes = through(plan, plan.cut, parameters, rows, |_, _| {});
    if let Some(l1) = sparsity.l1 {
        paid += f64::from(l1) * codes.iter().flatten().map(|value| value.abs()).sum::<f64>() / n;
    }
    if let Some(kl) = sparsity.kl {
        let t = f64::from(sparsity.target());
        for unit in 0..codes[0].len() {
            let m = codes.iter().map(|code| code[unit]).sum::<f64>() / n;
            paid += f64::from(kl) * (t * (t / m).ln() + (1.0 - t) * ((1.0 - t) / (1.0 - m)).ln());
        }
    }
    paid
}

/// The outputs of a step for a row in training; `place` is the number of the step and of the row.
fn forward(step: &Step, parameters: &[f64], x: &[f64], logits: bool, place: (usize, usize)) -> Vec<f64> {
    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<f64>>();
    // The random numbers themselves are not under test.
    let mut words = Vec::new();
    let mut rng = RngContext { seed: 0, epoch: 1, indices: &[place.1], words: &mut words };
    let mut drawn = vec![0.0; step.output.len()];
    let y: Vec<f64> = match &step.op {
        Op::Dense { weights, bias, tied } => {
            let (inputs, outputs) = (step.input.len(), step.output.len());
            let weight = |i: usize, j: usize| {
                parameters[weights.start + if *tied { j * inputs + i } else { i * outputs + j }]
            };
            (0..outputs)
                .map(|j| {
                    let sum: f64 = x.iter().enumerate().map(|(i, x)| x * weight(i, j)).sum();
                    sum + bias.as_ref().map_or(0.0, |bias| parameters[bias.start + j])
                })
                .collect()
        }
        Op::Convolution { geometry, weights, bias, tied } => {
            let none = vec![0.0; geometry.output.channels];
            let bias = bias.as_ref().map_or(&none[..], |bias| &parameters[bias.clone()]);
            let (inputs, outputs) = (geometry.input.channels, geometry.output.channels);
            let own = &parameters[weights.clone()];
            let weights: Vec<f64> = (0..own.len())
                .map(|at| {
                    let (tap, i, o) = (at / (inputs * outputs), at / outputs % inputs, at % outputs);
                    if *tied { own[(tap * outputs + o) * inputs + i] } else { own[at] }
                })
                .collect();
            reference::convolve(geometry, x, &weights, bias)
        }
        Op::MaxPool { size } => reference::max_pool(&squares(*size, step.input, step.output), x).0,
        Op::AveragePool { size } => reference::average_pool(&squares(*size, step.input, step.output), x),
        Op::Upsample { factor } => {
            let squares = PoolGeometry::upsampling((*factor, *factor), image(step.input), image(step.output));
            reference::upsample(&squares, x)
        }
        Op::Reshape | Op::Identity => x.to_vec(),
        Op::Function(function) => x.iter().map(|&x| reference::pointwise(*function, x)).collect(),
        Op::Dropout { share } => {
            let words = rng.words(Purpose::Dropout, place.0, 0, x.len());
            noise::dropout_mask(Level::detect(), &mut drawn, words, *share);
            x.iter().zip(wide(&drawn)).map(|(x, factor)| x * factor).collect()
        }
        Op::Sample { .. } => {
            rng.normal(Level::detect(), &mut drawn, place.0, 0);
            reference::sample(x, &wide(&drawn))
        }
        Op::BatchNorm { .. } => unreachable!("not of one row alone"),
        Op::Softmax if logits => x.to_vec(),
        Op::Softmax => reference::softmax(x),
    };
    if logits { y } else { y.into_iter().map(|y| reference::activate(step.activation, y)).collect() }
}

fn squares(size: usize, large: Shape, small: Shape) -> PoolGeometry {
    PoolGeometry::new((size, size), image(large), image(small))
}

pub(super) fn gradients(
    plan: &Plan,
    level: Level,
    threads: usize,
    start: &[f32],
    data: &[f32],
    batch: usize,
) -> Vec<f32> {
    let width = plan.input.len();
    // Numbers may be missing.
    let table = Table::of_output(Values::F32(data.to_vec()), plan.input);
    let scaling = Scaling::from_parts(vec![0.0], vec![1.0]);
    let optimizer = Optimizer::Sgd(optimizer::Sgd { rate: 0.1, momentum: 0.0, nesterov: false });
    let arithmetic = Arithmetic::single(level);
    let setup = Setup { plan, arithmetic, optimizer, seed: 0, clip_norm: None, batch, threads };
    let engine = Engine::new(setup, start, &vec![vec![0.0; start.len()]; optimizer.state_slots()]);
    let indices: Vec<usize> = (0..data.len() / width).collect();
    let rows = Rows { source: &table, scaling: &scaling, classes: None };
    narrows_kernels::team::run(threads, (), |member, _| {
        let mut workspace = engine.workspace();
        let (batch, mode) = (Batch { rows, indices: &indices }, Mode::Train { epoch: 1 });
        engine.measure_activity(&member, &mut workspace, batch, mode);
        engine.pass(&member, &mut workspace, batch, mode);
        member.wait();
        engine.gradient(member.index(), &mut workspace, indices.len());
    })
    .unwrap();
    let mut out = vec![0.0; plan.buffer_len];
    engine.copy_gradients(&mut out);
    let sum = engine.finish_pass(indices.len()) / (indices.len() * loss_width(plan)) as f64;
    let wide: Vec<f64> = start.iter().map(|&value| f64::from(value)).collect();
    let data: Vec<f64> = data.iter().map(|&value| f64::from(value)).collect();
    // Reported losses are those of the data alone, without the KL divergence of a sampled code.
    let mut reported = plan.clone();
    for step in &mut reported.steps {
        if let Op::Sample { divergence } = &mut step.op {
            *divergence = 0.0;
        }
    }
    let want = loss(&reported, &wide, &data);
    assert!((sum - want).abs() < 1e-5 * want.abs().max(1.0), "loss {sum}, want {want}");
    out
}

#[test]
fn every_network_has_the_gradient_of_its_loss() {
    let functions = ["linear", "relu", "sigmoid", "tanh", "softmax"];
    let mut cases = Vec::new();
    for function in functions {
        // As hidden function, after a function, and at the end.
        cases.push((format!("{{dense=4}}, '{function}'"), "{dense='input'}, 'sigmoid'".to_owned(), "bce"));
        cases.push((
            format!("{{dense=5}}, 'tanh', '{function}'"),
            "{dense=3, bias=false}, 'relu', {dense='input'}".to_owned(),
            "mse",
        ));
        cases.push((
            format!("'{function}', {{dense=4}}"),
            "'tanh', {dense='input'}, 'softmax'".to_owned(),
            "cross_entropy",
        ));
        if function != "softmax" {
            cases.push(("{dense=4}".to_owned(), format!("{{dense='input'}}, '{function}'"), "mse"));
            cases.push(("{dense=4}".to_owned(), format!("{{dense='input'}}, 'tanh', '{function}'"), "mse"));
        }
    }
    for (encoder, decoder, name) in cases {
        for (width, count) in [(6, 5), (17, 3)] {
            check_gradients(&network(&encoder, &decoder, name, Shape::flat(width)), count);
        }
    }
}

/// Two numbers, yes or no, a category of four, yes or no, a number, a category of three.
fn table_columns() -> Vec<EncodedColumn> {
    use ColumnError::*;
    let columns = [
        (Squared, 1),
        (Squared, 1),
        (Binary, 1),
        (Categorical, 4),
        (Binary, 1),
        (Squared, 1),
        (Categorical, 3),
    ];
    let mut at = 0;
    let encode = |(number, &(error, len)): (usize, &(ColumnError, usize))| {
        at += len;
        EncodedColumn { range: at - len..at, error, weight: [1.0, 0.5, 2.0][number % 3] }
    };
    columns.iter().enumerate().map(encode).collect()
}

/// Encoded rows of [`table_columns`], and where `has_gaps` every fourth column of them missing, the last row whole.
fn table_rows(count: usize, has_gaps: bool) -> Vec<f32> {
    let columns = table_columns();
    let width = columns.last().unwrap().range.end;
    let mut rows = rows(count, width);
    for (index, row) in rows.chunks_mut(width).enumerate() {
        for (number, column) in columns.iter().enumerate() {
            let own = &mut row[column.range.clone()];
            match column.error {
                ColumnError::Squared => {}
                _ if own.len() == 1 => own[0] = ((index + number) % 2) as f32,
                _ => {
                    own.fill(0.0);
                    own[(index * 5 + number) % own.len()] = 1.0;
                }
            }
            if has_gaps && (index == count - 1 || (index * 3 + number) % 4 == 1) {
                own.fill(f32::NAN);
            }
        }
    }
    rows
}

#[test]
fn the_mixed_loss_has_its_gradient_with_and_without_gaps() {
    let networks = [
        ("{dense=4}, 'tanh'", "{dense=7}, 'silu', {dense='input'}"),
        ("{dense=9}, 'batch_norm', 'tanh', {dense=3}", "{dense='input'}"),
        ("{gaussian_noise=0.0}, {dense=3}", "{dense='input'}, 'linear'"),
    ];
    for (encoder, decoder) in networks {
        let width = table_columns().last().unwrap().range.end;
        let plan = network(encoder, decoder, "mixed", Shape::flat(width));
        check_gradients_on(&plan, &table_rows(6, false));
        let plan = Plan { columns: table_columns(), ..plan };
        check_gradients_on(&plan, &table_rows(6, false));
        let fill: Vec<f32> = (0..width).map(|at| 0.1 * at as f32).collect();
        check_gradients_on(&Plan { fill: Some(fill), ..plan }, &table_rows(6, true));
    }
}

#[test]
fn losses_of_numbers_leave_gaps_out() {
    let cases = [
        ("mse", "'linear'"),
        ("mse", "'tanh'"),
        ("bce", "'sigmoid'"),
        ("mae", "'linear'"),
        ("huber", "'sigmoid'"),
    ];
    for (loss, end) in cases {
        let plan = network("{dense=4}, 'tanh'", &format!("{{dense='input'}}, {end}"), loss, Shape::flat(12));
        let plan = Plan { fill: Some(vec![0.25; 12]), ..plan };
        check_gradients_on(&plan, &table_rows(6, true).into_iter().take(72).collect::<Vec<_>>());
    }
}

#[test]
fn complete_rows_take_the_same_bytes_on_the_path_of_gaps() {
    let plan = network("{dense=4}, 'relu'", "{dense='input'}", "mse", Shape::flat(12));
    let start = initial_parameters(&plan, 3);
    let data = rows(7, 12);
    let filled = Plan { fill: Some(vec![9.0; 12]), ..plan.clone() };
    for level in Level::available() {
        assert_eq!(
            gradients(&plan, level, 2, &start, &data, 7),
            gradients(&filled, level, 2, &start, &data, 7)
        );
    }
}

/// Compares the engine's gradients with difference quotients, at every level and with several numbers of threads.
#[track_caller]
fn check_gradients(plan: &Plan, count: usize) {
    check_gradients_on(plan, &rows(count, plan.input.len()));
}

/// As [`check_gradients`], on these rows.
#[track_caller]
fn check_gradients_on(plan: &Plan, data: &[f32]) {
    let count = data.len() / plan.input.len();
    let mut start = initial_parameters(plan, 3);
    // Biases away from zero, so that no relu sits on its corner.
    for (i, value) in start.iter_mut().enumerate() {
        *value += 0.05 * ((i * 29 % 13) as f32 - 6.0) / 6.0;
    }
    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<f64>>();
    let (wide_start, wide_rows) = (wide(&start), wide(data));
    let every = (plan.parameter_count() / 60).max(3);
    for level in Level::available() {
        let got = gradients(plan, level, 1, &start, data, count);
        for parameter in &plan.parameters {
            let places = parameter.range.clone();
            for at in places.clone().step_by(every).chain([places.end - 1]) {
                let moved = |by: f64| {
                    let mut moved = wide_start.clone();
                    moved[at] += by;
                    loss(plan, &moved, &wide_rows) + penalty(plan, &moved, &wide_rows)
                };
                // So small a step seldom crosses the corner of a relu.
                let slope = (moved(1e-7) - moved(-1e-7)) / 2e-7;
                assert!(
                    (f64::from(got[at]) - slope).abs() < 2e-6 + 2e-4 * slope.abs(),
                    "{:#?} at {}: {} [{at}] {} against {slope}",
                    plan.table().rows,
                    level.name(),
                    parameter.name,
                    got[at]
                );
            }
        }
        // Other numbers of threads: the same bits. Without convolutions also with room for more rows than come.
        for threads in [2, 3, 4] {
            assert_eq!(got, gradients(plan, level, threads, &start, data, count));
        }
        if plan.steps.iter().all(|step| !step.op.is_on_images()) {
            for batch in [count + 9, 64] {
                assert_eq!(got, gradients(plan, level, 3, &start, data, batch));
            }
        }
    }
}

#[test]
fn every_network_on_images_has_the_gradient_of_its_loss() {
    let sigmoid = "{conv='input'}, 'sigmoid'";
    let cases = [
        // The shapes of `conv` and `denoising`, at sizes where they come out too large.
        (
            "{conv=5}, 'relu', {max_pool=2}, {conv=3}, 'relu', {max_pool=2}",
            "{conv=3}, 'relu', {upsample=2}, {conv=4, padding='auto'}, 'relu', {upsample=2}, {conv='input'}, 'sigmoid'",
            "bce",
        ),
        (
            "{conv=9, kernel=5, stride=2}, 'tanh'",
            "{transposed_conv=3, kernel=4, padding='none'}, 'tanh', {conv='input', kernel=2, bias=false}",
            "mse",
        ),
        (
            "{conv=4, kernel=[2, 3], bias=false}, 'sigmoid', {average_pool=3}",
            "{upsample=3}, {conv='input', padding='same'}, 'sigmoid'",
            "bce",
        ),
        (
            "{average_pool=2}, {conv=3}, 'tanh', 'tanh'",
            "{upsample=2}, 'sigmoid', {conv=2}, {max_pool=1}, {conv='input', kernel=1}",
            "mse",
        ),
        // Dense layers between images, and every bridge.
        (
            "{conv=3}, 'relu', {max_pool=3}, 'flatten', {dense=4}, 'tanh'",
            "{dense='flatten'}, 'relu', 'unflatten', {upsample=3}, {conv='input'}, 'sigmoid'",
            "bce",
        ),
        (
            "{dense=18}, 'tanh', {reshape=[3, 3, 2]}, {conv=3}",
            "'tanh', {conv=2}, {max_pool=2, padding='none'}, 'softmax', {dense='input'}, 'sigmoid'",
            "bce",
        ),
        (
            "{dense='input'}, 'tanh', {conv=2}, {max_pool=2}, 'sigmoid', {max_pool=1}",
            "{transposed_conv=2, kernel=3, stride=2}, {upsample=1}, 'tanh', {average_pool=1}, {conv='input'}",
            "mse",
        ),
        ("{max_pool=2}, {conv='input'}", "{upsample=2}", "mse"),
        // Pools after pools, and a pool at the end: what one of them leaves the other reads.
        ("{conv=3}, 'tanh', {max_pool=2}, {max_pool=2}", "{upsample=4}, {conv='input'}", "mse"),
        (
            "{max_pool=2}, {max_pool=2}, {max_pool=1}",
            "{upsample=4}, {conv='input'}, {max_pool=1}, {max_pool=1}, {conv='input'}",
            "mse",
        ),
        ("{conv=4}", "{upsample=2}, {conv='input'}, 'sigmoid', {max_pool=2}", "mse"),
    ];
    for (encoder, decoder, name) in cases {
        for (shape, count) in
            [(Shape::image(7, 6, 1), 3), (Shape::image(5, 9, 3), 2), (Shape::image(6, 6, 2), 19)]
        {
            check_gradients(&network(encoder, decoder, name, shape), count);
        }
    }
    // The last batch of an epoch is shorter than the others.
    let plan = network(
        "{conv=3}, 'relu', {max_pool=2}",
        &format!("{{upsample=2}}, {sigmoid}"),
        "bce",
        Shape::image(5, 5, 1),
    );
    let (start, data) = (initial_parameters(&plan, 1), rows(5, 25));
    let want = gradients(&plan, Level::detect(), 1, &start, &data, 33);
    assert_eq!(want, gradients(&plan, Level::detect(), 3, &start, &data, 33));
    let other = gradients(&plan, Level::detect(), 2, &start, &data, 5);
    assert!(want.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-6), "grouped in another way");
}

#[test]
fn penalties_on_an_active_code_have_their_gradient() {
    for (encoder, decoder, shape) in [
        ("{dense=5}, 'tanh'", "{dense='input'}, 'sigmoid'", Shape::flat(7)),
        ("{dense=5}", "'relu', {dense='input'}, 'sigmoid'", Shape::flat(7)),
        ("{dense=5}, 'softmax'", "{dense='input'}, 'sigmoid'", Shape::flat(7)),
        ("{conv=3}, 'relu', {max_pool=2}", "{upsample=2}, {conv='input'}, 'sigmoid'", Shape::image(6, 5, 2)),
        ("{conv=3}, 'sigmoid'", "{conv='input'}, 'sigmoid'", Shape::image(4, 5, 1)),
    ] {
        let mut plan = network(encoder, decoder, "bce", shape);
        plan.sparsity = Some(Sparsity { l1: Some(0.3), ..Sparsity::default() });
        check_gradients(&plan, 5);
    }
    for (encoder, decoder, shape) in [
        ("{dense=5}, 'sigmoid'", "{dense='input'}", Shape::flat(7)),
        ("{dense=6}, 'relu', {dense=4}, 'sigmoid'", "{dense='input'}", Shape::flat(7)),
        ("{conv=3}, 'relu', 'flatten', {dense=4}, 'sigmoid'", "{dense='input'}", Shape::image(6, 5, 2)),
        (
            "{conv=2}, {max_pool=2}, 'flatten', 'sigmoid'",
            "'unflatten', {upsample=2}, {conv='input'}",
            Shape::image(4, 6, 1),
        ),
    ] {
        let mut plan = network(encoder, decoder, "mse", shape);
        plan.sparsity = Some(Sparsity { kl: Some(0.2), target: Some(0.1), l1: Some(0.01) });
        // The layout depends on it.
        for count in [5, 19] {
            check_gradients(&plan, count);
        }
    }
}

#[test]
fn penalties_on_weights_have_their_gradient() {
    let networks = [
        network("{dense=5}, 'tanh'", "{dense='tied'}", "mse", Shape::flat(7)),
        network(
            "{conv=3}, 'relu', {max_pool=2}",
            "{upsample=2}, {conv='input'}",
            "mse",
            Shape::image(6, 5, 2),
        ),
    ];
    for mut plan in networks {
        plan.weights.l2 = Some(0.03);
        check_gradients(&plan, 5);
        plan.weights.elimination = Some(0.05);
        check_gradients(&plan, 5);
    }
}

#[test]
fn tied_weights_get_the_gradients_of_both_layers() {
    for (encoder, decoder, shape) in [
        ("{dense=5}, 'tanh'", "{dense='tied'}", Shape::flat(9)),
        (
            "{dense=8}, 'tanh', {dense=3}",
            "{dense='tied', bias=false}, 'tanh', {dense='tied'}",
            Shape::flat(9),
        ),
        // A layer with weights of its own takes the place of a tied one.
        ("{dense=8}, 'tanh', {dense=3}", "{dense=8}, 'relu', {dense='tied'}, 'tanh'", Shape::flat(9)),
        ("{conv=3}, 'tanh'", "{transposed_conv='tied'}", Shape::image(5, 6, 2)),
        (
            "{conv=4, stride=2}, 'tanh', {conv=3, kernel=2}",
            "{transposed_conv='tied', bias=false}, 'relu', {transposed_conv='tied'}",
            Shape::image(7, 6, 3),
        ),
        ("{conv=4, kernel=5, stride=3, padding='none'}", "{transposed_conv='tied'}", Shape::image(9, 12, 1)),
        ("{conv=4}, 'relu', {max_pool=2}", "{upsample=2}, {transposed_conv='tied'}", Shape::image(7, 7, 2)),
        (
            "{conv=4}, 'relu', {max_pool=2}, 'flatten', {dense=6}, 'tanh'",
            "{dense='tied'}, 'relu', 'unflatten', {upsample=2}, {transposed_conv='tied'}",
            Shape::image(5, 7, 2),
        ),
    ] {
        for count in [3, 17] {
            check_gradients(&network(encoder, decoder, "mse", shape), count);
        }
    }
    let half = network("{dense=5}", "{dense='tied', bias=false}", "mse", Shape::flat(9));
    assert_eq!(half.parameter_count(), 9 * 5 + 5);
}

#[test]
fn functions_that_need_their_input_and_robust_losses() {
    for function in ["leaky_relu", "elu", "gelu", "silu", "softplus"] {
        let inside = format!("{{dense=5}}, '{function}'");
        check_gradients(
            &network(&inside, &format!("'tanh', '{function}', {{dense='input'}}"), "mse", Shape::flat(7)),
            5,
        );
        check_gradients(
            &network(
                &format!("'{function}', {{dense=4}}"),
                &format!("{{dense='input'}}, '{function}'"),
                "huber",
                Shape::flat(17),
            ),
            3,
        );
        check_gradients(
            &network(
                &format!("{{conv=3}}, '{function}', {{max_pool=2}}"),
                "{upsample=2}, {conv='input'}, 'sigmoid'",
                "bce",
                Shape::image(6, 5, 2),
            ),
            4,
        );
    }
    for loss in ["mae", "huber"] {
        check_gradients(&network("{dense=4}, 'relu'", "{dense='input'}, 'tanh'", loss, Shape::flat(7)), 6);
        check_gradients(
            &network(
                "{conv=3}, 'relu', {max_pool=2}",
                "{upsample=2}, {conv='input'}",
                loss,
                Shape::image(5, 5, 1),
            ),
            6,
        );
    }
}

#[test]
fn dropout_and_sampled_codes_have_the_gradient_of_what_was_drawn() {
    for (encoder, decoder, shape) in [
        ("{dropout=0.3}, {dense=6}, 'tanh', {dropout=0.5}", "{dense='input'}, 'sigmoid'", Shape::flat(9)),
        ("{dense=6}, {dropout=0.5}, 'tanh'", "{dropout=0.2}, {dense='input'}, 'sigmoid'", Shape::flat(9)),
        (
            "{conv=3}, 'relu', {dropout=0.4}, {max_pool=2}",
            "{upsample=2}, {dropout=0.4}, {conv='input'}, 'sigmoid'",
            Shape::image(5, 6, 2),
        ),
        (
            "{dense=6}, 'tanh', {variational=3}",
            "{dense=6}, 'tanh', {dense='input'}, 'sigmoid'",
            Shape::flat(9),
        ),
        ("{variational=4, kl=0.3}", "{dense='input'}, 'sigmoid'", Shape::flat(4)),
        (
            "{conv=3}, 'relu', {max_pool=2}, 'flatten', {variational=3, kl=2}",
            "{dense='flatten'}, 'unflatten', {upsample=2}, {conv='input'}, 'sigmoid'",
            Shape::image(5, 6, 1),
        ),
    ] {
        for (loss, count) in [("bce", 3), ("mse", 18)] {
            check_gradients(&network(encoder, decoder, loss, shape), count);
        }
    }
}

#[test]
fn networks_that_normalize_batches_have_the_gradient_of_their_loss() {
    let tail = "{dense=5}, 'relu', {dense='input'}, 'sigmoid'";
    for (encoder, decoder, name) in [
        // Before a function and after one, one and several, on both sides.
        ("{dense=6}, 'batch_norm', 'tanh', {dense=3}", tail, "bce"),
        ("{dense=6}, 'tanh', 'batch_norm', {dense=3}", tail, "bce"),
        (
            "{dense=9}, 'batch_norm', 'sigmoid', {dense=4}, 'batch_norm', 'tanh'",
            "{dense=6}, 'batch_norm', 'relu', {dense='input', bias=false}, 'batch_norm', 'sigmoid'",
            "bce",
        ),
        ("{dense=6, bias=false}, 'batch_norm', 'gelu', {dense=3}", "{dense='input'}, 'batch_norm'", "mse"),
        // Of the rows themselves, at the code, and behind the cut.
        (
            "'batch_norm', {dense=4}, 'batch_norm'",
            "'batch_norm', {dense='input'}, 'softmax'",
            "cross_entropy",
        ),
        // Together with dropout and a sampled code.
        (
            "{dropout=0.3}, {dense=6}, 'batch_norm', 'tanh', {dropout=0.2}, {variational=3, kl=0.3}",
            "{dense=6}, {dropout=0.2}, 'batch_norm', 'tanh', {dense='input'}",
            "mse",
        ),
    ] {
        // Wider than a thread's portion of columns, and narrower; fewer rows than threads.
        for (width, count) in [(7, 6), (37, 18), (5, 2)] {
            check_gradients(&network(encoder, decoder, name, Shape::flat(width)), count);
        }
    }
    for text in ["'batch_norm', 'sigmoid'", "'sigmoid'"] {
        let encoder = format!("{{dense=6}}, 'batch_norm', 'relu', {{dense=4}}, {text}");
        let mut plan =
            network(&encoder, "{dense=6}, 'batch_norm', 'relu', {dense='input'}", "mse", Shape::flat(7));
        plan.sparsity = Some(Sparsity { kl: Some(0.2), target: Some(0.1), l1: Some(0.01) });
        plan.weights.l2 = Some(0.03);
        check_gradients(&plan, 9);
    }
}
