//! The sections about pre-trained layers, one for each.

use narrows::Shape;
use narrows::recipe::{Layer, Pretrain};
use narrows::train::pretrain::PretrainedLayer;

use crate::draw::pictures::{FILTER_SIDE, Weights, weights};
use crate::draw::{Figure, curves};
use crate::html::Document;

/// Writes a section for each pre-trained layer: its numbers, its losses, its filters. `shape` is that of a row.
pub(crate) fn sections(
    document: &mut Document,
    layers: &[PretrainedLayer],
    settings: Option<&Pretrain>,
    shape: Shape,
) {
    for (place, layer) in layers.iter().enumerate() {
        let name = format!("layer-{}", place + 1);
        let (inputs, units) = layer.widths;
        document.section(&format!("Layer {} alone: {inputs}-{units}", place + 1), |section| {
            section.list(&facts(settings, place, layer));
            let loss = format!("{name}-loss");
            let losses = curves::loss(&loss, &layer.history, layer.loss_name, None, layer.kept_epoch);
            let filters = filters(&format!("{name}-weights"), place, layer, shape);
            losses.into_iter().chain(filters).for_each(|figure| section.drawing(figure));
        });
    }
}

/// The numbers of layer `place` (from 0).
fn facts(settings: Option<&Pretrain>, place: usize, layer: &PretrainedLayer) -> Vec<(String, String)> {
    let mut facts = vec![("Epochs".to_owned(), epochs(layer.history.len(), layer.kept_epoch))];
    if let Some(record) = layer.kept() {
        facts.push((format!("{}, training", layer.loss_name), format!("{:.5}", record.train_loss)));
        facts.push((format!("{}, held out", layer.loss_name), format!("{:.5}", record.held_out_loss)));
    }
    if let Some(dead) = layer.dead_units() {
        facts.push(("Dead units".to_owned(), format!("{dead} of {}", layer.widths.1)));
    }
    if let Some(Layer::Noise(noise)) = settings.and_then(|settings| settings.noise(place)) {
        facts.push(("Noise".to_owned(), noise.kind.title()));
    }
    facts
}

/// The number of epochs, and which of them was kept where that is not just the last.
pub(crate) fn epochs(count: usize, kept: Option<usize>) -> String {
    match kept {
        Some(epoch) => format!("{count}, kept: the best on the held-out rows, {epoch}"),
        None => count.to_string(),
    }
}

/// The filters of layer `place` (from 0) as images.
fn filters(name: &str, place: usize, layer: &PretrainedLayer, shape: Shape) -> Option<Figure> {
    let what = match place {
        0 => ": the weights with which a unit adds up the numbers of a row".to_owned(),
        _ => format!(
            ": what a unit looks for in a row, as the sum of the images of layer {place}, weighted as it weights \
             the units of that layer (Lee et al. 2008); the functions between are left out"
        ),
    };
    let (images, count) = (&layer.filters[..], layer.widths.1);
    weights(name, &Weights { shape, images, count, called: ["unit", "units"], what: &what }, FILTER_SIDE)
}
