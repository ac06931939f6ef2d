//! The memory that is told is that of an engine that was made.

use super::super::*;
use crate::data::Shape;
use crate::network::init::initial_parameters;
use crate::recipe::{Recipe, RecipeFile};

fn compile(recipe: &Recipe, shape: Shape) -> Option<Plan> {
    match recipe {
        Recipe::Autoencoder(recipe) => Plan::new(recipe, shape).ok(),
        Recipe::Classifier(recipe) => Plan::classifier(recipe, shape, 10).ok(),
        Recipe::Pca(_) => None,
    }
}

fn of(layers: &str) -> Recipe {
    let text = format!("method = \"autoencoder\"\nloss = \"mse\"\n{layers}");
    RecipeFile::parse("test", "test", &text).unwrap().recipe().unwrap()
}

#[test]
fn what_is_told_is_what_an_engine_takes() {
    let own = [
        "encoder = [{ conv = 3, kernel = [5, 2], stride = 2 }, { max_pool = 3 }]\ndecoder = [{ upsample = 3 }, { conv = 2, padding = \"auto\" }, { transposed_conv = \"input\" }]",
        "encoder = [{ conv = 17, kernel = 3 }, \"relu\", { max_pool = 2 }, \"flatten\", { dense = 5 }]\ndecoder = [{ dense = \"flatten\" }, \"unflatten\", { upsample = 2 }, { conv = \"input\" }]",
        "encoder = [{ conv = 4, stride = 2 }]\ndecoder = [{ transposed_conv = \"tied\" }]",
        "encoder = [{ dense = 9 }, \"batch_norm\", \"relu\", { dropout = 0.5 }, { dense = 3 }]\ndecoder = [{ dense = \"tied\" }, { dense = \"tied\" }]",
    ];
    let own = own.map(of);
    let bf16 = {
        let mut recipe = RecipeFile::open("deep").unwrap().recipe().unwrap();
        recipe.train_mut().unwrap().precision = Precision::Bf16;
        recipe
    };
    let built_in = RecipeFile::names().map(|name| RecipeFile::open(name).unwrap().recipe().unwrap());
    let shapes = [Shape::image(28, 28, 1), Shape::image(13, 7, 3), Shape::image(9, 32, 2), Shape::flat(5)];
    let mut compared = 0;
    for recipe in built_in.chain(own).chain([bf16]) {
        for (shape, batch, threads) in shapes.into_iter().flat_map(|shape| [(shape, 37, 3), (shape, 4, 1)]) {
            let Some(plan) = compile(&recipe, shape) else { continue };
            let train = recipe.train().unwrap();
            let (optimizer, level) = (train.optimizer().unwrap(), Level::detect());
            let arithmetic = train.precision.arithmetic(level);
            let setup =
                Setup { plan: &plan, arithmetic, optimizer, seed: 1, clip_norm: None, batch, threads };
            let parameters = initial_parameters(&plan, 1);
            let state = vec![vec![0.0; plan.buffer_len]; optimizer.state_slots()];
            let engine = Engine::new(setup, &parameters, &state);

            let told = Engine::footprint(&plan, optimizer, train.precision, batch, threads);
            let place = format!("{recipe:?} {shape} {batch} {threads}");
            let bytes = size_of::<f32>();
            let buffers = [&engine.parameters, &engine.gradients].into_iter().chain(&engine.optimizer_state);
            let of_parameters: usize = buffers.map(|buffer| buffer.whole().len()).sum();
            assert_eq!(told.parameters, of_parameters * bytes, "{place}");
            let shared = [&engine.tensors, &engine.partial, &engine.statistics];
            let shared: usize = shared.iter().map(|buffer| buffer.whole().len()).sum();
            let made = engine.chain.made();
            assert_eq!(told.shared, shared * bytes + made.table_bytes, "{place}");

            let mut workspace = engine.workspace();
            let Workspace { scratch, arena, packed, sums, .. } = &mut workspace;
            let own = scratch.len() + arena.len() + packed.len() + sums.len();
            let needs = Chain::needs(&plan.steps, &engine.chain.layout, true);
            // Random numbers are made room for when they are first drawn.
            let noise = if plan.noise.is_empty() { 0 } else { 3 * plan.input.len().next_multiple_of(2) };
            assert_eq!(told.each_thread, (own + needs.words_len + noise) * bytes, "{place}");
            assert_eq!(ops::ChainNeeds { words_len: 0, ..needs }, made, "{place}");
            compared += 1;
        }
    }
    assert!(compared > 80, "{compared}");
}

#[test]
fn what_an_application_takes_is_told_too() {
    for name in RecipeFile::names() {
        let recipe = RecipeFile::open(name).unwrap().recipe().unwrap();
        let Some(plan) = compile(&recipe, Shape::image(28, 28, 1)) else { continue };
        for (steps, input) in [(&plan.steps[..plan.cut], plan.input), (&plan.steps[plan.cut..], plan.code())]
        {
            let layout = Layout::inference(steps, input, CHUNK);
            let needs = Chain::needs(steps, &layout, false);
            let made = Chain::inference(Level::detect(), steps, layout).made();
            assert_eq!(needs, made, "{name}");
        }
    }
}

/// The images of this network take 22 GB: no table is made to find that out.
#[test]
fn a_network_too_large_for_any_machine_is_counted_in_no_time() {
    let conv = RecipeFile::open("conv").unwrap().recipe().unwrap();
    let plan = compile(&conv, Shape::image(8000, 8000, 1)).unwrap();
    let optimizer = conv.train().unwrap().optimizer().unwrap();
    let started = std::time::Instant::now();
    assert!(Engine::footprint(&plan, optimizer, Precision::F32, 128, 2).total() > 20 << 30);
    assert!(
        Engine::footprint(&plan, optimizer, Precision::F32, usize::MAX, usize::MAX).total() == usize::MAX
    );
    assert!(started.elapsed().as_secs_f64() < 0.5, "{:?}", started.elapsed());
    let text = "encoder = [{ transposed_conv = 1, stride = 28 }, { dense = 1 }]\ndecoder = [{ dense = \"input\" }, \"sigmoid\"]";
    let plan = compile(&of(text), Shape::image(1000, 1000, 1)).unwrap();
    assert!(Engine::footprint(&plan, optimizer, Precision::F32, 1, 1).total() > 4 << 30);
}
