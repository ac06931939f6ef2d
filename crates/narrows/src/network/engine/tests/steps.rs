//! Optimizer steps and running statistics against their reference implementations.

use narrows_kernels::{Level, optimizer, reference};

use super::super::*;
use super::gradients::gradients;
use super::{network, rows};
use crate::data::{Shape, Table, Values};
use crate::network::init::initial_parameters;
use crate::network::noise::Mode;
use crate::network::plan::{Op, ParameterKind};
use crate::recipe::{Recipe, RecipeFile};

/// Two steps of plain gradient descent at rate 0.1 on the first `count` rows of `data`, in an engine for `batch` rows.
fn descend(plan: &Plan, start: &[f32], data: &[f32], count: usize, batch: usize, threads: usize) -> Vec<f32> {
    let table = Table::new(Values::F32(data.to_vec()), plan.input).unwrap();
    let scaling = Scaling::from_parts(vec![0.0], vec![1.0]);
    let optimizer = Optimizer::Sgd(optimizer::Sgd { rate: 0.1, momentum: 0.0, nesterov: false });
    let memory = vec![vec![0.0; start.len()]; optimizer.state_slots()];
    let level = Level::detect();
    let arithmetic = Arithmetic::single(level);
    let setup = Setup { plan, arithmetic, optimizer, seed: 0, clip_norm: None, batch, threads };
    let engine = Engine::new(setup, start, &memory);
    let indices: Vec<usize> = (0..count).collect();
    narrows_kernels::team::run(threads, (), |member, _| {
        let mut workspace = engine.workspace();
        let rows = Rows { source: &table, scaling: &scaling, classes: None };
        // Twice, so that the second step updates the running statistics of the first.
        for step in 1..=2 {
            let batch = Batch { rows, indices: &indices };
            engine.pass(&member, &mut workspace, batch, Mode::Train { epoch: 1 });
            member.wait();
            engine.update(&member, &mut workspace, OptimizerStep { number: step, rate: 1.0, rows: count });
            member.wait();
        }
    })
    .unwrap();
    let mut parameters = vec![0.0; plan.buffer_len];
    engine.copy_state(&mut parameters, &mut []);
    assert!(!engine.has_diverged() && engine.parameters_are_finite());
    parameters
}

#[test]
fn running_statistics_follow_the_batches_and_a_single_row_leaves_them_alone() {
    // Normalises the rows themselves, so the statistics are known: of 1 2 3 6 and 10 10 10 10, squares divided by n - 1.
    let plan = network("'batch_norm', {dense=2}", "{dense='input'}", "mse", Shape::flat(2));
    let data = [1.0, 10.0, 2.0, 10.0, 3.0, 10.0, 6.0, 10.0];
    let start = initial_parameters(&plan, 1);
    let Op::BatchNorm { scale, shift, mean, variance } = plan.steps[0].op.clone() else { panic!() };
    assert_eq!((&start[scale.clone()], &start[shift.clone()]), (&[1.0; 2][..], &[0.0; 2][..]));
    assert_eq!((&start[mean.clone()], &start[variance.clone()]), (&[0.0; 2][..], &[1.0; 2][..]));
    let after = descend(&plan, &start, &data, 4, 4, 1);
    let near = |range: &Range<usize>, want: [f32; 2]| {
        let found = &after[range.clone()];
        assert!(found.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?} {want:?}");
    };
    near(&mean, [3.0, 10.0]);
    near(&variance, [14.0 / 3.0, 0.0]);
    assert_ne!(after[scale.clone()], start[scale]);
    // A batch of one row changes shifts and later layers, and leaves the running statistics alone.
    for threads in [1, 3] {
        let after = descend(&plan, &start, &data, 1, 4, threads);
        assert_eq!((&after[mean.clone()], &after[variance.clone()]), (&[0.0; 2][..], &[1.0; 2][..]));
        assert_ne!(after[shift.clone()], start[shift.clone()]);
    }
}

#[test]
fn one_step_of_each_optimizer_through_the_engine() {
    // The kernels have tests of their own; here the right slices must reach them with any number of threads.
    let plan = network("{dense=5}, 'tanh'", "{dense='input'}", "mse", Shape::flat(9));
    check_steps_against_the_reference(&plan);
}

#[test]
fn one_step_of_many_weights_whose_gradients_are_not_stored() {
    let plan = network("{dense=600}, 'tanh'", "{dense='input'}", "mse", Shape::flat(400));
    check_steps_against_the_reference(&plan);
}

fn check_steps_against_the_reference(plan: &Plan) {
    let start = initial_parameters(plan, 1);
    let data = rows(7, plan.input.len());
    let gradient: Vec<f64> =
        gradients(plan, Level::detect(), 1, &start, &data, 7).into_iter().map(f64::from).collect();
    let train = |name: &str| {
        let text = format!(
            "method='autoencoder'\nloss='mse'\nencoder=[{{dense=5}}]\ndecoder=[{{dense='input'}}]\n[train]\noptimizer='{name}'\nrate=0.1"
        );
        let Recipe::Autoencoder(spec) = RecipeFile::parse("t", "t", &text).unwrap().recipe().unwrap() else {
            panic!()
        };
        spec.train.optimizer().unwrap()
    };
    for name in ["adadelta", "sgd", "rmsprop", "adam", "adamw"] {
        let optimizer = train(name);
        let mut want: Vec<f64> = start.iter().map(|&value| f64::from(value)).collect();
        let (mut a, mut b) = (vec![0.0; want.len()], vec![0.0; want.len()]);
        reference::step(&mut want, &mut a, &mut b, &gradient, optimizer);
        for threads in [1, 2, 3] {
            let table = Table::new(Values::F32(data.clone()), plan.input).unwrap();
            let scaling = Scaling::from_parts(vec![0.0], vec![1.0]);
            let setup = Setup {
                plan,
                arithmetic: Arithmetic::single(Level::detect()),
                optimizer,
                seed: 0,
                clip_norm: None,
                batch: 7,
                threads,
            };
            let engine = Engine::new(setup, &start, &vec![vec![0.0; start.len()]; optimizer.state_slots()]);
            let indices: Vec<usize> = (0..7).collect();
            narrows_kernels::team::run(threads, (), |member, _| {
                let mut workspace = engine.workspace();
                let rows = Rows { source: &table, scaling: &scaling, classes: None };
                let batch = Batch { rows, indices: &indices };
                engine.pass(&member, &mut workspace, batch, Mode::Train { epoch: 1 });
                member.wait();
                engine.update(&member, &mut workspace, OptimizerStep { number: 1, rate: 1.0, rows: 7 });
            })
            .unwrap();
            let mut got = vec![0.0; plan.buffer_len];
            engine.copy_state(&mut got, &mut []);
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

/// Three steps on the same rows: with the gradients stored between pass and step, or with the two fused.
fn three_steps(plan: &Plan, optimizer: Optimizer, threads: usize, is_fused: bool) -> Vec<f32> {
    let start = initial_parameters(plan, 1);
    let state = vec![vec![0.0; start.len()]; optimizer.state_slots()];
    let data = rows(7, plan.input.len());
    let table = Table::new(Values::F32(data), plan.input).unwrap();
    let scaling = Scaling::from_parts(vec![0.0], vec![1.0]);
    let setup = Setup {
        plan,
        arithmetic: Arithmetic::single(Level::detect()),
        optimizer,
        seed: 0,
        clip_norm: None,
        batch: 7,
        threads,
    };
    let engine = Engine::new(setup, &start, &state);
    let indices: Vec<usize> = (0..7).collect();
    let batch = Batch { rows: Rows { source: &table, scaling: &scaling, classes: None }, indices: &indices };
    narrows_kernels::team::run(threads, (), |member, _| {
        let mut workspace = engine.workspace();
        for number in 1..=3 {
            let step = OptimizerStep { number, rate: 0.5, rows: 7 };
            engine.pass(&member, &mut workspace, batch, Mode::Train { epoch: 1 });
            member.wait();
            if is_fused {
                engine.update(&member, &mut workspace, step);
            } else {
                engine.gradient(member.index(), &mut workspace, 7);
                member.wait();
                engine.apply(member.index(), step);
            }
            member.wait();
            if member.index() == 0 {
                engine.finish_pass(7);
            }
            member.wait();
        }
    })
    .unwrap();
    assert!(!engine.has_diverged());
    let mut parameters = vec![0.0; plan.buffer_len];
    engine.copy_state(&mut parameters, &mut []);
    assert!(parameters != start);
    parameters
}

#[test]
fn gradients_stored_and_applied_give_the_bits_of_the_fused_update() {
    let mut plans = vec![
        // Large enough for gradients that are never stored.
        network("{dense=600}, 'tanh'", "{dense='input'}", "mse", Shape::flat(400)),
        network("{dense=5}, 'tanh'", "{dense='tied'}", "mse", Shape::flat(9)),
        network(
            "{conv=3}, 'relu', {max_pool=2}, 'flatten', {dense=4}",
            "{dense='flatten'}, 'unflatten', {upsample=2}, {conv='input'}, 'sigmoid'",
            "bce",
            Shape::image(6, 5, 2),
        ),
        network("{dense=6}, 'batch_norm', 'tanh', {dense=3}", "{dense='input'}", "mse", Shape::flat(9)),
    ];
    let mut penalized = plans[0].clone();
    penalized.weights.l2 = Some(0.01);
    penalized.weights.elimination = Some(0.01);
    plans.push(penalized);
    for plan in &plans {
        for optimizer in [
            Optimizer::Sgd(optimizer::Sgd { rate: 0.1, momentum: 0.9, nesterov: true }),
            Optimizer::Adam(optimizer::Adam {
                rate: 0.01,
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                weight_decay: 0.1,
                step: 1,
            }),
        ] {
            let want = three_steps(plan, optimizer, 1, true);
            for threads in [1, 3] {
                assert_eq!(want, three_steps(plan, optimizer, threads, false));
                assert_eq!(want, three_steps(plan, optimizer, threads, true));
            }
        }
    }
}
