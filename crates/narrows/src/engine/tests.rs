//! Gradients against difference quotients in double precision, for every layer, loss and activation.

use narrows_kernels::{Level, plain};

use super::*;
use crate::data::{Shape, Table, Values};
use crate::plan::{Op, Step};
use crate::recipe::Recipe;
use crate::spec::Spec;
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
        Op::Identity => x.to_vec(),
        Op::Softmax if logits => x.to_vec(),
        Op::Softmax => plain::softmax(x),
    };
    if logits { y } else { y.into_iter().map(|y| plain::activate(step.activation, y)).collect() }
}

fn network(encoder: &str, decoder: &str, loss: &str, width: usize) -> Plan {
    let text = format!("method='autoencoder'\nloss='{loss}'\nencoder=[{encoder}]\ndecoder=[{decoder}]");
    let Spec::Autoencoder(spec) = Recipe::parse("test", "test", &text).unwrap().spec().unwrap() else {
        panic!()
    };
    Plan::new(&spec, Shape::flat(width)).unwrap()
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
        batch,
        threads,
        start,
        &vec![vec![0.0; start.len()]; optimizer.memories()],
    );
    let indices: Vec<usize> = (0..data.len() / width).collect();
    let rows = Rows { source: &table, scaling: &scaling };
    narrows_kernels::lockstep::run(threads, (), |member, _| {
        let mut scratch = engine.scratch();
        engine.pass(member.index(), &mut scratch, rows, &indices, true);
        member.wait();
        engine.gradients(member.index(), &mut scratch, indices.len());
    });
    let mut out = vec![0.0; plan.buffer_len];
    engine.copy_gradients(&mut out);
    let sum = engine.loss_sum(indices.len()) / (indices.len() * loss_width(plan)) as f64;
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
            let plan = network(&encoder, &decoder, name, width);
            let mut start = initial_parameters(&plan, 3);
            // Biases away from zero, so that no relu sits on its corner.
            for (i, value) in start.iter_mut().enumerate() {
                *value += 0.05 * ((i * 29 % 13) as f32 - 6.0) / 6.0;
            }
            let data = rows(count, width);
            for level in Level::available() {
                let got = gradients(&plan, level, 1, &start, &data, count);
                let wide: Vec<f64> = start.iter().map(|&value| f64::from(value)).collect();
                let wide_rows: Vec<f64> = data.iter().map(|&value| f64::from(value)).collect();
                for parameter in &plan.parameters {
                    for at in parameter.range.clone().step_by(3) {
                        let moved = |by: f64| {
                            let mut moved = wide.clone();
                            moved[at] += by;
                            loss(&plan, &moved, &wide_rows)
                        };
                        let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                        assert!(
                            (f64::from(got[at]) - slope).abs() < 2e-6 + 1e-4 * slope.abs(),
                            "{encoder} | {decoder} {name} at {}: {} [{at}] {} against {slope}",
                            level.name(),
                            parameter.name,
                            got[at]
                        );
                    }
                }
                // Other numbers of threads, and room for more rows than come: the same bits.
                for (threads, batch) in [(2, count), (3, count + 9), (4, 64)] {
                    assert_eq!(got, gradients(&plan, level, threads, &start, &data, batch));
                }
            }
        }
    }
}

#[test]
fn one_step_of_each_optimizer_through_the_engine() {
    // The kernels are tested alone; here: the right slices reach them, whatever the number of threads.
    let plan = network("{dense=5}, 'tanh'", "{dense='input'}", "mse", 9);
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
                7,
                threads,
                &start,
                &vec![vec![0.0; start.len()]; optimizer.memories()],
            );
            let indices: Vec<usize> = (0..7).collect();
            narrows_kernels::lockstep::run(threads, (), |member, _| {
                let mut scratch = engine.scratch();
                let rows = Rows { source: &table, scaling: &scaling };
                engine.pass(member.index(), &mut scratch, rows, &indices, true);
                member.wait();
                engine.gradients(member.index(), &mut scratch, 7);
                member.wait();
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
