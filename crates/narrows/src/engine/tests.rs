//! Gradients against difference quotients in double precision, for every layer, loss and activation.

use narrows_kernels::pooling::Squares;
use narrows_kernels::{Level, plain};

use super::*;
use crate::data::{Shape, Table, Values};
use crate::plan::{Op, Step, image};
use crate::recipe::Recipe;
use crate::spec::{Sparsity, Spec};
use crate::train::initial_parameters;

/// The network's loss in double precision, from the plain functions alone.
fn loss(plan: &Plan, parameters: &[f64], rows: &[f64]) -> f64 {
    let width = plan.input.len();
    let total: f64 = rows
        .chunks(width)
        .map(|row| {
            let mut x = row.to_vec();
            for (i, step) in plan.steps.iter().enumerate() {
                let logits = i + 1 == plan.steps.len() && plan.loss_takes_logits();
                x = forward(step, parameters, &x, logits);
            }
            match plan.loss {
                Loss::Bce => plain::bce_logits(&x, row),
                Loss::CrossEntropy => plain::cross_entropy_logits(&x, row),
                Loss::Mse => plain::squared_error(&x, row),
            }
        })
        .sum();
    total / (rows.len() / width * loss_width(plan)) as f64
}

/// What the code pays for being active.
fn penalty(plan: &Plan, parameters: &[f64], rows: &[f64]) -> f64 {
    let Some(Sparsity { l1 }) = plan.sparsity else { return 0.0 };
    let width = plan.input.len();
    let sums = rows.chunks(width).map(|row| {
        let code =
            plan.steps[..plan.cut].iter().fold(row.to_vec(), |x, step| forward(step, parameters, &x, false));
        code.iter().map(|value| value.abs()).sum::<f64>()
    });
    f64::from(l1) * sums.sum::<f64>() / (rows.len() / width) as f64
}

fn forward(step: &Step, parameters: &[f64], x: &[f64], logits: bool) -> Vec<f64> {
    let y: Vec<f64> = match &step.op {
        Op::Dense { weights, bias } => (0..step.output.len())
            .map(|j| {
                let sum: f64 = x
                    .iter()
                    .enumerate()
                    .map(|(i, x)| x * parameters[weights.start + i * step.output.len() + j])
                    .sum();
                sum + bias.as_ref().map_or(0.0, |bias| parameters[bias.start + j])
            })
            .collect(),
        Op::Convolution { geometry, weights, bias } => {
            let none = vec![0.0; geometry.output.channels];
            let bias = bias.as_ref().map_or(&none[..], |bias| &parameters[bias.clone()]);
            plain::convolve(geometry, x, &parameters[weights.clone()], bias)
        }
        Op::MaxPool { size } => plain::max_pool(&squares(*size, step.input, step.output), x).0,
        Op::AveragePool { size } => plain::average_pool(&squares(*size, step.input, step.output), x),
        Op::Upsample { factor } => {
            let squares = Squares::upsampling((*factor, *factor), image(step.input), image(step.output));
            plain::upsample(&squares, x)
        }
        Op::Reshape | Op::Identity => x.to_vec(),
        Op::Softmax if logits => x.to_vec(),
        Op::Softmax => plain::softmax(x),
    };
    if logits { y } else { y.into_iter().map(|y| plain::activate(step.activation, y)).collect() }
}

fn squares(size: usize, large: Shape, small: Shape) -> Squares {
    Squares::new((size, size), image(large), image(small))
}

fn network(encoder: &str, decoder: &str, loss: &str, shape: Shape) -> Plan {
    let text = format!("method='autoencoder'\nloss='{loss}'\nencoder=[{encoder}]\ndecoder=[{decoder}]");
    let Spec::Autoencoder(spec) = Recipe::parse("test", "test", &text).unwrap().spec().unwrap() else {
        panic!()
    };
    Plan::new(&spec, shape).unwrap()
}

/// Rows that are shares: in 0..1, each row's sum 1.
fn rows(count: usize, width: usize) -> Vec<f32> {
    (0..count)
        .flat_map(|i| {
            let row: Vec<f32> = (0..width).map(|j| ((i * 37 + j * 11) % 17) as f32 + 0.5).collect();
            let sum: f32 = row.iter().sum();
            row.into_iter().map(move |value| value / sum).collect::<Vec<_>>()
        })
        .collect()
}

fn gradients(
    plan: &Plan,
    level: Level,
    threads: usize,
    start: &[f32],
    data: &[f32],
    batch: usize,
) -> Vec<f32> {
    let width = plan.input.len();
    let table = Table::new(Values::F32(data.to_vec()), plan.input).unwrap();
    let scaling = Scaling::from_parts(vec![0.0], vec![1.0]);
    let optimizer = Optimizer::Sgd(optimizer::Sgd { rate: 0.1, momentum: 0.0, nesterov: false });
    let engine = Engine::new(
        plan,
        level,
        optimizer,
        0,
        batch,
        threads,
        start,
        &vec![vec![0.0; start.len()]; optimizer.memories()],
    );
    let indices: Vec<usize> = (0..data.len() / width).collect();
    let rows = Rows { source: &table, scaling: &scaling };
    narrows_kernels::lockstep::run(threads, (), |member, _| {
        let mut scratch = engine.scratch();
        engine.pass(&mut scratch, rows, &indices, Occasion::Training { epoch: 1 });
        member.wait();
        engine.gradients(member.index(), &mut scratch, indices.len());
    });
    let mut out = vec![0.0; plan.buffer_len];
    engine.copy_gradients(&mut out);
    let sum = engine.finish_pass(indices.len()) / (indices.len() * loss_width(plan)) as f64;
    let wide: Vec<f64> = start.iter().map(|&value| f64::from(value)).collect();
    let data: Vec<f64> = data.iter().map(|&value| f64::from(value)).collect();
    let want = loss(plan, &wide, &data);
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

/// Compares the engine's gradients with difference quotients, at every level and with several numbers of threads.
#[track_caller]
fn check_gradients(plan: &Plan, count: usize) {
    let mut start = initial_parameters(plan, 3);
    // Biases away from zero, so that no relu sits on its corner.
    for (i, value) in start.iter_mut().enumerate() {
        *value += 0.05 * ((i * 29 % 13) as f32 - 6.0) / 6.0;
    }
    let data = rows(count, plan.input.len());
    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<f64>>();
    let (wide_start, wide_rows) = (wide(&start), wide(&data));
    let every = (plan.parameter_count() / 60).max(3);
    for level in Level::available() {
        let got = gradients(plan, level, 1, &start, &data, count);
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
            assert_eq!(got, gradients(plan, level, threads, &start, &data, count));
        }
        if plan.steps.iter().all(|step| !step.op.is_on_images()) {
            for batch in [count + 9, 64] {
                assert_eq!(got, gradients(plan, level, 3, &start, &data, batch));
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
fn what_an_active_code_pays_has_its_gradient() {
    for (encoder, decoder, shape) in [
        ("{dense=5}, 'tanh'", "{dense='input'}, 'sigmoid'", Shape::flat(7)),
        ("{dense=5}", "'relu', {dense='input'}, 'sigmoid'", Shape::flat(7)),
        ("{dense=5}, 'softmax'", "{dense='input'}, 'sigmoid'", Shape::flat(7)),
        ("{conv=3}, 'relu', {max_pool=2}", "{upsample=2}, {conv='input'}, 'sigmoid'", Shape::image(6, 5, 2)),
        ("{conv=3}, 'sigmoid'", "{conv='input'}, 'sigmoid'", Shape::image(4, 5, 1)),
    ] {
        let mut plan = network(encoder, decoder, "bce", shape);
        plan.sparsity = Some(Sparsity { l1: 0.3 });
        check_gradients(&plan, 5);
    }
}

#[test]
fn one_step_of_each_optimizer_through_the_engine() {
    // The kernels are tested alone; here: the right slices reach them, whatever the number of threads.
    let plan = network("{dense=5}, 'tanh'", "{dense='input'}", "mse", Shape::flat(9));
    let start = initial_parameters(&plan, 1);
    let data = rows(7, 9);
    let gradient: Vec<f64> =
        gradients(&plan, Level::detect(), 1, &start, &data, 7).into_iter().map(f64::from).collect();
    let train = |name: &str| {
        let text = format!(
            "method='autoencoder'\nloss='mse'\nencoder=[{{dense=5}}]\ndecoder=[{{dense='input'}}]\n[train]\noptimizer='{name}'\nrate=0.1"
        );
        let Spec::Autoencoder(spec) = Recipe::parse("t", "t", &text).unwrap().spec().unwrap() else {
            panic!()
        };
        spec.train.optimizer().unwrap()
    };
    for name in ["adadelta", "sgd", "rmsprop", "adam", "adamw"] {
        let optimizer = train(name);
        let mut want: Vec<f64> = start.iter().map(|&value| f64::from(value)).collect();
        let (mut a, mut b) = (vec![0.0; want.len()], vec![0.0; want.len()]);
        match optimizer {
            Optimizer::Adadelta(settings) => plain::adadelta(&mut want, &mut a, &mut b, &gradient, settings),
            Optimizer::Sgd(settings) => plain::sgd(&mut want, &mut a, &gradient, settings),
            Optimizer::RmsProp(settings) => plain::rmsprop(&mut want, &mut a, &gradient, settings),
            Optimizer::Adam(settings) => plain::adam(&mut want, &mut a, &mut b, &gradient, settings),
        }
        for threads in [1, 2, 3] {
            let table = Table::new(Values::F32(data.clone()), plan.input).unwrap();
            let scaling = Scaling::from_parts(vec![0.0], vec![1.0]);
            let engine = Engine::new(
                &plan,
                Level::detect(),
                optimizer,
                0,
                7,
                threads,
                &start,
                &vec![vec![0.0; start.len()]; optimizer.memories()],
            );
            let indices: Vec<usize> = (0..7).collect();
            narrows_kernels::lockstep::run(threads, (), |member, _| {
                let mut scratch = engine.scratch();
                let rows = Rows { source: &table, scaling: &scaling };
                engine.pass(&mut scratch, rows, &indices, Occasion::Training { epoch: 1 });
                member.wait();
                engine.gradients(member.index(), &mut scratch, 7);
                engine.update(member.index(), 1);
            });
            let mut got = vec![0.0; plan.buffer_len];
            engine.copy_parameters(&mut got);
            for parameter in &plan.parameters {
                for at in parameter.range.clone() {
                    // Weight decay spares biases.
                    let mut expected = want[at];
                    if name == "adamw" && parameter.kind == ParameterKind::Bias {
                        expected += 0.1 * 0.01 * f64::from(start[at]);
                    }
                    assert!(
                        (f64::from(got[at]) - expected).abs() < 2e-4,
                        "{name} {} {} {expected}",
                        parameter.name,
                        got[at]
                    );
                }
            }
        }
    }
}
