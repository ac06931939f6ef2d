//! Runs on rows that cannot be read or that stream, and executors that do not compute.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::data::scaling::Scaling;
use crate::data::{Element, RowReader, Shape, Source, Stream, Table, Values};
use crate::error::Error;
use crate::network::init::initial_parameters;
use crate::recipe::RecipeFile;
use crate::recipe::{AutoencoderRecipe, Recipe};

const WIDTH: usize = 64;

/// A network wide enough for several threads.
fn network(settings: &str) -> (AutoencoderRecipe, Plan) {
    let text = format!(
        "method='autoencoder'\nloss='mse'\nencoder=[{{dense=32}}, 'relu']\ndecoder=[{{dense='input'}}]\ntrain={{batch=128, epochs=3{settings}}}"
    );
    let Recipe::Autoencoder(recipe) = RecipeFile::parse("t", "t", &text).unwrap().recipe().unwrap() else {
        panic!()
    };
    let plan = Plan::new(&recipe, Shape::flat(WIDTH)).unwrap();
    (recipe, plan)
}

fn value(row: usize, column: usize) -> f64 {
    ((row * 37 + column * 11) % 101) as f64 / 101.0
}

fn table(rows: usize) -> Table {
    let values = (0..rows * WIDTH).map(|at| value(at / WIDTH, at % WIDTH) as f32).collect();
    Table::new(Values::F32(values), Shape::flat(WIDTH)).unwrap()
}

/// Trains on `rows`; the callback answers each event.
fn run(
    settings: &str,
    rows: &dyn Source,
    held_out: &dyn Source,
    threads: usize,
    on_event: &mut OnEvent<'_>,
) -> Result<Trained> {
    let (recipe, plan) = network(settings);
    let scaling = Scaling::identity();
    let job = Job {
        plan: &plan,
        settings: &recipe.train,
        rows: Rows { source: rows, scaling: &scaling, classes: None },
        held_out: Rows { source: held_out, scaling: &scaling, classes: None },
        compute: Compute::with_threads(threads),
    };
    assert!(job.compute.threads == threads);
    let start = State::new(initial_parameters(&plan, 1), recipe.train.optimizer()?);
    train(job, start, None, on_event)
}

/// A table one of whose blocks cannot be read, once.
struct Damaged {
    rows: Table,
    /// Blocks that can be read before it.
    good: usize,
    read: AtomicUsize,
}

impl Damaged {
    fn new(good: usize) -> Self {
        Self { rows: table(512), good, read: AtomicUsize::new(0) }
    }
}

impl Source for Damaged {
    fn rows(&self) -> usize {
        self.rows.rows()
    }
    fn shape(&self) -> Shape {
        self.rows.shape()
    }
    fn element(&self) -> Element {
        self.rows.element()
    }
    fn read_f64(&self, first: usize, out: &mut [f64]) -> Result<()> {
        self.rows.read_f64(first, out)
    }
    fn gather_f32(&self, indices: &[usize], out: &mut [f32]) -> Result<()> {
        if self.read.fetch_add(1, Ordering::Relaxed) == self.good {
            return Err(Error::data("part-3.csv: line 7: damaged"));
        }
        self.rows.gather_f32(indices, out)
    }
}

#[test]
fn rows_that_cannot_be_read_end_the_run_with_their_error() {
    let whole = table(512);
    for threads in [1, 4] {
        // Often, because the threads meet in another order each time; in the first epoch and in a later one.
        for good in (0..40).map(|at| at % 20 + 2) {
            let ends = |rows: &dyn Source, held_out: &dyn Source| {
                let error = run("", rows, held_out, threads, &mut |_| ControlFlow::Continue(())).err();
                assert_eq!(
                    error.map(|error| error.to_string()).as_deref(),
                    Some("part-3.csv: line 7: damaged")
                );
            };
            ends(&Damaged::new(good), &whole);
            ends(&whole, &Damaged::new(good));
        }
    }
}

#[test]
fn a_stream_trains_to_the_same_bits_with_any_number_of_threads() {
    let held_out = table(100);
    let open = || -> Result<RowReader<'static>> {
        let mut next = 0;
        Ok(Box::new(move |out: &mut [f64]| {
            for row in out.chunks_exact_mut(WIDTH) {
                row.iter_mut().enumerate().for_each(|(column, out)| *out = value(next, column));
                next += 1;
            }
            Ok(out.len() / WIDTH)
        }))
    };
    let trained = |threads| {
        let stream = Stream::new(1000, Shape::flat(WIDTH), Element::F32, 400, open).unwrap();
        run("", &stream, &held_out, threads, &mut |_| ControlFlow::Continue(())).unwrap()
    };
    let losses = |trained: &Trained| -> Vec<(f64, f64)> {
        trained.history.iter().map(|record| (record.train_loss, record.held_out_loss)).collect()
    };
    let one = trained(1);
    assert_eq!((one.history.len(), &one.ended), (3, &Ended::Finished));
    for threads in [2, 4] {
        let several = trained(threads);
        assert_eq!((losses(&several), &several.parameters), (losses(&one), &one.parameters));
    }
}

#[test]
fn a_stop_within_the_first_epoch_keeps_what_was_learned_so_far() {
    let rows = table(512);
    let start = initial_parameters(&network("").1, 1);
    let mut one: Option<Vec<f32>> = None;
    for threads in [1, 4] {
        let mut steps = 0;
        let trained = run("", &rows, &rows, threads, &mut |event| {
            steps += usize::from(matches!(event, Event::Step { .. }));
            if steps == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let trained = trained.unwrap();
        assert_eq!((steps, trained.history.len(), trained.ended), (2, 0, Ended::Interrupted));
        assert!(trained.parameters != start);
        assert_eq!(one.get_or_insert_with(|| trained.parameters.clone()), &trained.parameters);
    }
}

/// An executor without arithmetic: the held-out loss of each epoch is given.
struct Script {
    held_out_losses: Vec<f64>,
    epochs: usize,
    orders: Vec<Vec<usize>>,
}

impl Executor for Script {
    fn epoch(
        &mut self,
        epoch: Epoch<'_>,
        on_step: &mut dyn FnMut(StepReport) -> ControlFlow<()>,
    ) -> Result<EpochOutcome> {
        self.epochs += 1;
        assert_eq!((epoch.number, epoch.steps_before), (self.epochs, 4 * (self.epochs as u64 - 1)));
        self.orders.push(epoch.order.to_vec());
        assert!(on_step(StepReport { rows: 128, loss_sum: 1.0 }).is_continue());
        let steps = epoch.rates.len() as u64;
        Ok(EpochOutcome { loss_sum: 512.0 * WIDTH as f64, steps, end: EpochEnd::Completed })
    }

    fn evaluate(&mut self) -> Result<EvaluationOutcome> {
        Ok(EvaluationOutcome {
            loss_sum: self.held_out_losses[self.epochs - 1] * (512 * WIDTH) as f64,
            active_units: None,
            misclassified: None,
            parameters_are_finite: true,
        })
    }

    fn copy_state(&self, state: &mut State) {
        state.parameters.fill(self.epochs as f32);
    }

    fn non_finite_parameter(&self) -> Option<String> {
        None
    }
}

#[test]
fn the_policy_needs_no_arithmetic() {
    let rows = table(512);
    let scaling = Scaling::identity();
    let play = |settings: &str, held_out_losses: &[f64]| {
        let (recipe, plan) = network(settings);
        let rows = Rows { source: &rows, scaling: &scaling, classes: None };
        let compute = Compute::with_threads(1);
        let job = Job { plan: &plan, settings: &recipe.train, rows, held_out: rows, compute };
        let mut script = Script { held_out_losses: held_out_losses.to_vec(), epochs: 0, orders: Vec::new() };
        let mut run = TrainingRun {
            job,
            checkpoints: None,
            started: Instant::now(),
            kept_epochs: None,
            on_event: &mut |_| ControlFlow::Continue(()),
            last_checkpoint: Instant::now(),
            state: State::new(vec![0.0; plan.buffer_len], recipe.train.optimizer().unwrap()),
            seconds: 0.0,
            order: Vec::new(),
        };
        let ended = run.epochs(&mut script).unwrap();
        let trained = run.finish(&script, ended);
        (trained, script.orders)
    };
    // The last parameters, or the best; patience; a loss that is not a number.
    let (trained, orders) = play("", &[3.0, 1.0, 2.0]);
    assert_eq!((trained.ended, trained.parameters[0]), (Ended::Finished, 3.0));
    assert_eq!(best_epoch(&trained.history).unwrap().epoch, 2);
    assert_eq!(trained.history[0].train_loss, 1.0);
    assert!(orders[0] != orders[1], "each epoch has its own order");
    let (trained, _) = play(", keep='best'", &[3.0, 1.0, 2.0]);
    assert_eq!((trained.ended, trained.parameters[0]), (Ended::Finished, 2.0));
    let (trained, _) = play(", patience=1", &[1.0, 2.0, 0.5]);
    assert_eq!((trained.ended, trained.parameters[0], trained.history.len()), (Ended::Early, 1.0, 2));
    let (trained, _) = play("", &[1.0, f64::NAN, 0.5]);
    assert_eq!((trained.parameters[0], trained.history.len()), (1.0, 1));
    let Ended::Diverged(reason) = trained.ended else { panic!() };
    assert!(reason.ends_with("the loss after decoder.1 is not finite in epoch 2, step 8"), "{reason}");
}
