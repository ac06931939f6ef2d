//! Figures: charts as SVG and PNG, pictures of images as PNG.

pub(crate) mod axes;
pub(crate) mod bars;

pub(crate) mod confusion;
pub(crate) mod curves;
pub(crate) mod decoded;
pub(crate) mod pictures;
pub(crate) mod profiles;
pub(crate) mod scatter;

/// A drawn figure with its texts.
#[derive(Debug)]
pub(crate) struct Figure {
    /// The stem of its files: `loss`.
    pub name: String,
    /// The heading of its section.
    pub heading: &'static str,
    /// The text below it: content and scale.
    pub caption: String,
    /// A description for readers who do not see it.
    pub alternative: String,
    /// Vector form; of charts only.
    pub svg: Option<String>,
    /// Pixel form.
    pub png: Vec<u8>,
    /// Width and height on the page, in CSS pixels.
    pub size: (u32, u32),
}

#[cfg(test)]
mod tests;
