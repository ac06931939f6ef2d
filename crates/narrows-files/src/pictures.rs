//! Pictures, and folders of pictures: each is a row.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{
    ColorType, DynamicImage, GrayImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Limits, Pixel,
    RgbImage,
};
use narrows::base::{input_file, memory};
use narrows::data::Values;
use narrows::{Dataset, Error, Labels, Result, Shape, Table};

use crate::natural;
use crate::options::{FileOptions, Fit, ReadDataset, damaged};

/// The largest height and width of a picture.
const LONGEST: u32 = 1 << 16;

/// The most memory that decoding one picture may take.
const MOST_BYTES: u64 = 1 << 30;

/// Folders in folders.
const DEEPEST: usize = 16;

/// Reads a picture, or all pictures of a folder and its sub-folders, in natural order of their names (`img2` before `img10`).
///
/// Rows are images of bytes, of one channel where all pictures are grey or [`FileOptions::grey`] says so, else of three. Where
/// pictures lie in two or more sub-folders, these are the classes. [`ReadDataset::names`] are the paths below the folder. Pictures
/// are turned as their EXIF data say; what is transparent becomes white. Where a picture has 16 bits per channel the rows are
/// numbers from 0 to 65535 in single precision. Files that are no pictures are passed over, which the notes say.
///
/// # Errors
/// Where there are no pictures, they have several sizes and [`FileOptions::size`] gives none, or one cannot be read.
pub fn read_pictures(path: impl AsRef<Path>, options: &FileOptions) -> Result<ReadDataset> {
    let path = path.as_ref();
    let place = path.to_string_lossy().into_owned();
    let mut found = Found::default();
    if path.is_dir() {
        found.walk(path, "", 0)?;
        found.files.sort_by(|a, b| natural::compare(&a.name, &b.name));
        if found.files.is_empty() {
            return Err(Error::data(format!("{place}: a folder without pictures"))
                .hint("PNG, JPEG, TIFF, BMP, WebP and PNM are read"));
        }
    } else {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        found.files.push(PictureFile { name, path: path.to_owned() });
    }
    let labels = labels(&place, &found.files)?;
    let heads = found.files.iter().map(Head::read).collect::<Result<Vec<Head>>>()?;
    let (height, width) = size(&place, &heads, options)?;
    let is_grey = options.grey || heads.iter().all(|head| head.is_grey);
    let is_deep = heads.iter().any(|head| head.is_deep);
    let aim = Aim { height, width, is_grey, is_deep, fit: options.fit };
    let shape = Shape::image(height as usize, width as usize, if is_grey { 1 } else { 3 });
    let numbers = heads.len().saturating_mul(shape.len());
    let bytes = numbers.saturating_mul(if is_deep { 4 } else { 1 });
    memory::require(bytes, 1, format_args!("{place}: {} pictures", heads.len()))?;
    let values = if is_deep {
        Values::F32(decode_all(&found.files, &aim, shape.len(), |image, out: &mut [f32]| {
            let samples =
                if is_grey { image.into_luma16().into_raw() } else { image.into_rgb16().into_raw() };
            out.iter_mut().zip(samples).for_each(|(out, sample)| *out = f32::from(sample));
        })?)
    } else {
        Values::U8(decode_all(&found.files, &aim, shape.len(), |image, out: &mut [u8]| {
            let samples = if is_grey { image.into_luma8().into_raw() } else { image.into_rgb8().into_raw() };
            out.copy_from_slice(&samples);
        })?)
    };
    let table = Table::new(values, shape).map_err(|error| error.at(&place))?;
    let name = path.file_name().map_or_else(|| place.clone(), |name| name.to_string_lossy().into_owned());
    let mut dataset = Dataset::new(name, Arc::new(table));
    dataset.labels = labels;
    let notes = notes(&heads, &aim, found.passed_over);
    let names = found.files.into_iter().map(|file| file.name).collect();
    Ok(ReadDataset { dataset, names: Some(names), notes })
}

/// Whether a file is a picture, by its first 16 bytes. The marks of BMP and PNM are two letters with which a text may begin, so
/// that the ending has to agree.
pub(crate) fn is_picture(start: &[u8], name: &str) -> bool {
    format(start, name).is_some()
}

fn format(start: &[u8], name: &str) -> Option<ImageFormat> {
    let name = name.to_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    image::guess_format(start).ok().filter(|format| match format {
        ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::Tiff | ImageFormat::WebP => true,
        ImageFormat::Bmp => ends(&[".bmp", ".dib"]),
        ImageFormat::Pnm => ends(&[".pnm", ".pbm", ".pgm", ".ppm", ".pam"]),
        _ => false,
    })
}

/// Whether a file says by its ending that it is a picture of a kind that is read.
fn has_ending_of_picture(name: &str) -> bool {
    const ENDINGS: &[&str] = &[
        ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dib", ".webp", ".pnm", ".pbm", ".pgm", ".ppm",
        ".pam",
    ];
    let name = name.to_lowercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

struct PictureFile {
    /// The path below the folder, with `/`.
    name: String,
    path: PathBuf,
}

impl PictureFile {
    fn place(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}

#[derive(Default)]
struct Found {
    files: Vec<PictureFile>,
    /// Files that are no pictures.
    passed_over: usize,
}

impl Found {
    /// Looks for pictures in a folder and its sub-folders; hidden files and links to folders are left alone.
    fn walk(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<()> {
        let failed = |error| Error::io(folder, "read", error);
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            let path = entry.path();
            if entry.file_type().map_err(failed)?.is_dir() {
                if depth == DEEPEST {
                    return Err(Error::data(format!("{}: folders are nested too deeply", path.display())));
                }
                self.walk(&path, &format!("{prefix}{name}/"), depth + 1)?;
            } else if path.is_file() {
                let mut start = Vec::new();
                let mut opened = input_file::open(&path.to_string_lossy(), &path)?.file;
                let read = opened.by_ref().take(16).read_to_end(&mut start);
                read.map_err(|error| Error::io(&path, "read", error))?;
                // A file that says that it is a picture and is none is damaged: it must not be passed over in silence.
                if is_picture(&start, &name) || has_ending_of_picture(&name) {
                    self.files.push(PictureFile { name: format!("{prefix}{name}"), path });
                } else {
                    self.passed_over += 1;
                }
            }
        }
        Ok(())
    }
}

/// The classes of pictures in sub-folders.
fn labels(place: &str, files: &[PictureFile]) -> Result<Option<Labels>> {
    let classes: Vec<Option<&str>> =
        files.iter().map(|file| file.name.split_once('/').map(|(folder, _)| folder)).collect();
    let outside = classes.iter().filter(|class| class.is_none()).count();
    if outside == classes.len() {
        return Ok(None);
    }
    if outside > 0 {
        return Err(Error::data(format!(
            "{place}: {outside} of its {} pictures lie in the folder itself, the others in sub-folders, which would be their classes",
            classes.len()
        ))
        .hint("move all into sub-folders, or all into one folder"));
    }
    let names: Vec<&str> = classes.into_iter().flatten().collect();
    let labels = Labels::from_names(&names)?;
    // One sub-folder divides nothing.
    Ok(Some(labels).filter(|labels| labels.names.len() > 1))
}

/// What the first bytes of a picture say.
struct Head {
    height: u32,
    width: u32,
    is_grey: bool,
    has_alpha: bool,
    is_deep: bool,
    is_turned: bool,
}

/// The decoder of a picture, before any of it is decoded.
fn decoder(file: &PictureFile) -> Result<impl ImageDecoder + use<>> {
    let place = file.place();
    let mut opened = input_file::open(&place, &file.path)?.file;
    let failed = |error| Error::io(&file.path, "read", error);
    let mut start = Vec::new();
    opened.by_ref().take(16).read_to_end(&mut start).map_err(failed)?;
    opened.rewind().map_err(failed)?;
    let format = format(&start, &file.name)
        .ok_or_else(|| damaged(&place, "it does not begin as a picture of a kind that is read"))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST);
    limits.max_image_height = Some(LONGEST);
    limits.max_alloc = Some(MOST_BYTES);
    let mut reader: ImageReader<BufReader<File>> = ImageReader::with_format(BufReader::new(opened), format);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|error| damaged(&place, error))?;
    // Decoders keep to limits of their own memory; the picture itself is ours.
    if decoder.total_bytes() > MOST_BYTES {
        let (width, height) = decoder.dimensions();
        return Err(Error::data(format!("{place}: {width} x {height} pixels are too many")));
    }
    Ok(decoder)
}

impl Head {
    fn read(file: &PictureFile) -> Result<Self> {
        let mut decoder = decoder(file)?;
        let place = file.place();
        let (width, height) = decoder.dimensions();
        let colour = decoder.color_type();
        let is_deep = match colour {
            ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8 => false,
            ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16 => true,
            _ => {
                return Err(Error::data(format!(
                    "{place}: its pixels are floating-point numbers of no known range"
                ))
                .hint("save it with 8 or 16 bits per channel"));
            }
        };
        if width == 0 || height == 0 {
            return Err(damaged(&place, "it has no pixels"));
        }
        // Data that cannot be read turn nothing.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let is_across = matches!(
            orientation,
            Orientation::Rotate90
                | Orientation::Rotate270
                | Orientation::Rotate90FlipH
                | Orientation::Rotate270FlipH
        );
        let (height, width) = if is_across { (width, height) } else { (height, width) };
        Ok(Self {
            height,
            width,
            is_grey: !colour.has_color(),
            has_alpha: colour.has_alpha(),
            is_deep,
            is_turned: orientation != Orientation::NoTransforms,
        })
    }
}

/// The height and width of the rows.
fn size(place: &str, heads: &[Head], options: &FileOptions) -> Result<(u32, u32)> {
    if let Some((height, width)) = options.size {
        let longest = LONGEST as usize;
        if !(1..=longest).contains(&height) || !(1..=longest).contains(&width) {
            return Err(Error::data(format!("{place}: `size` {height} x {width} is out of range")));
        }
        return Ok((height as u32, width as u32));
    }
    let mut sizes: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for head in heads {
        *sizes.entry((head.height, head.width)).or_default() += 1;
    }
    if sizes.len() == 1 {
        return Ok((heads[0].height, heads[0].width));
    }
    const SHOWN: usize = 4;
    let mut counted: Vec<((u32, u32), usize)> = sizes.into_iter().collect();
    counted.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let mut shown: Vec<String> = counted
        .iter()
        .take(SHOWN)
        .map(|((height, width), count)| format!("{count} of {height}x{width}"))
        .collect();
    if counted.len() > SHOWN {
        shown.push(format!("{} other sizes", counted.len() - SHOWN));
    }
    let ((height, width), _) = counted[0];
    Err(Error::data(format!(
        "{place}: its {} pictures have {} sizes: {} (height x width)",
        heads.len(),
        counted.len(),
        shown.join(", ")
    ))
    .hint(format!("bring them to one `size`, such as {height}x{width}")))
}

fn notes(heads: &[Head], aim: &Aim, passed_over: usize) -> Vec<String> {
    let count = |is: &dyn Fn(&Head) -> bool| heads.iter().filter(|head| is(head)).count();
    let mut notes = Vec::new();
    let mut say = |count: usize, one: &str, more: &str| match count {
        0 => {}
        1 => notes.push(format!("1 {one}")),
        count => notes.push(format!("{count} {more}")),
    };
    say(
        count(&|head| head.has_alpha),
        "picture with transparency lies on white",
        "pictures with transparency lie on white",
    );
    say(
        count(&|head| head.is_turned),
        "picture is turned as its EXIF data say",
        "pictures are turned as their EXIF data say",
    );
    if !aim.is_grey {
        say(
            count(&|head| head.is_grey),
            "grey picture is read as colour, as others are",
            "grey pictures are read as colour, as others are",
        );
    }
    if aim.is_deep {
        say(
            count(&|head| !head.is_deep),
            "picture of 8 bits is brought to the 16 bits of others",
            "pictures of 8 bits are brought to the 16 bits of others",
        );
    }
    say(
        count(&|head| (head.height, head.width) != (aim.height, aim.width)),
        "picture is resized",
        "pictures are resized",
    );
    say(passed_over, "file that is no picture is passed over", "files that are no pictures are passed over");
    notes
}

/// What every picture is brought to.
struct Aim {
    height: u32,
    width: u32,
    is_grey: bool,
    is_deep: bool,
    fit: Fit,
}

/// Decodes all pictures, each to a row of `length` numbers, on as many threads as there are processors.
fn decode_all<T: Copy + Default + Send>(
    files: &[PictureFile],
    aim: &Aim,
    length: usize,
    store: impl Fn(DynamicImage, &mut [T]) + Sync,
) -> Result<Vec<T>> {
    let mut rows = vec![T::default(); files.len() * length];
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(files.len());
    let share = files.len().div_ceil(threads);
    let decode_share = |files: &[PictureFile], rows: &mut [T]| -> Result<()> {
        for (file, row) in files.iter().zip(rows.chunks_exact_mut(length)) {
            let image = bring_to(aim, decode(file, aim)?);
            // A file that has changed since its head was read.
            if (image.height(), image.width()) != (aim.height, aim.width) {
                return Err(Error::data(format!("{}: the file has changed while it was read", file.place())));
            }
            store(image, row);
        }
        Ok(())
    };
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let shares = files.chunks(share).zip(rows.chunks_mut(share * length));
        let threads: Vec<_> = shares.map(|(files, rows)| scope.spawn(|| decode_share(files, rows))).collect();
        let failed = || Err(Error::data("a thread that decodes pictures has failed"));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| failed())).collect()
    });
    // The error of the first file, whichever thread found its own first.
    results.into_iter().collect::<Result<()>>()?;
    Ok(rows)
}

fn decode(file: &PictureFile, aim: &Aim) -> Result<DynamicImage> {
    let mut decoder = decoder(file)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| damaged(&file.place(), error))?;
    image.apply_orientation(orientation);
    let image = if image.color().has_alpha() { on_white(image, aim.is_deep) } else { image };
    Ok(match (aim.is_grey, aim.is_deep) {
        (true, false) => DynamicImage::ImageLuma8(image.into_luma8()),
        (true, true) => DynamicImage::ImageLuma16(image.into_luma16()),
        (false, false) => DynamicImage::ImageRgb8(image.into_rgb8()),
        (false, true) => DynamicImage::ImageRgb16(image.into_rgb16()),
    })
}

/// Lays a picture with transparency on white.
fn on_white(image: DynamicImage, is_deep: bool) -> DynamicImage {
    let (width, height) = (image.width(), image.height());
    let has_all = "as many samples as pixels ask for";
    match (image.color().has_color(), is_deep) {
        (true, false) => {
            let samples = blended::<u8, 4>(&image.into_rgba8(), 255);
            DynamicImage::ImageRgb8(RgbImage::from_raw(width, height, samples).expect(has_all))
        }
        (false, false) => {
            let samples = blended::<u8, 2>(&image.into_luma_alpha8(), 255);
            DynamicImage::ImageLuma8(GrayImage::from_raw(width, height, samples).expect(has_all))
        }
        (true, true) => {
            let samples = blended::<u16, 4>(&image.into_rgba16(), 65535);
            DynamicImage::ImageRgb16(ImageBuffer::from_raw(width, height, samples).expect(has_all))
        }
        (false, true) => {
            let samples = blended::<u16, 2>(&image.into_luma_alpha16(), 65535);
            DynamicImage::ImageLuma16(ImageBuffer::from_raw(width, height, samples).expect(has_all))
        }
    }
}

/// Pixels of `N` samples, the last of which is the opacity, over white, the sample `most`.
fn blended<T: Copy + Into<u64> + TryFrom<u64>, const N: usize>(pixels: &[T], most: u64) -> Vec<T> {
    let mut out = Vec::with_capacity(pixels.len() / N * (N - 1));
    for pixel in pixels.chunks_exact(N) {
        let opacity: u64 = pixel[N - 1].into();
        out.extend(pixel[..N - 1].iter().map(|&sample| {
            let mixed = (sample.into() * opacity + most * (most - opacity) + most / 2) / most;
            T::try_from(mixed).unwrap_or(sample)
        }));
    }
    out
}

/// Brings a picture to the size of the rows. The filter averages over what a pixel covers, so that smaller pictures do not flicker.
fn bring_to(aim: &Aim, image: DynamicImage) -> DynamicImage {
    let (height, width) = (aim.height, aim.width);
    if (image.height(), image.width()) == (height, width) {
        return image;
    }
    match aim.fit {
        Fit::Stretch => image.resize_exact(width, height, FilterType::Triangle),
        Fit::Crop => image.resize_to_fill(width, height, FilterType::Triangle),
        Fit::Pad => {
            let small = image.resize(width, height, FilterType::Triangle);
            match small {
                DynamicImage::ImageLuma8(small) => padded(&small, width, height).into(),
                DynamicImage::ImageLuma16(small) => padded(&small, width, height).into(),
                DynamicImage::ImageRgb16(small) => padded(&small, width, height).into(),
                small => padded(&small.into_rgb8(), width, height).into(),
            }
        }
    }
}

/// A picture in the middle of a black one.
fn padded<P: Pixel>(
    small: &ImageBuffer<P, Vec<P::Subpixel>>,
    width: u32,
    height: u32,
) -> ImageBuffer<P, Vec<P::Subpixel>> {
    let mut whole = ImageBuffer::new(width, height);
    let (left, top) = ((width - small.width()) / 2, (height - small.height()) / 2);
    imageops::replace(&mut whole, small, i64::from(left), i64::from(top));
    whole
}
