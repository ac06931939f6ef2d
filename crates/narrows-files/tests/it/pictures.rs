//! Pictures and folders of them.

use std::io::Cursor;
use std::path::Path;

use image::{
    DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, ImageFormat, Luma, Rgb, RgbImage, RgbaImage,
};
use narrows::Shape;
use narrows::data::{Format, OpenOptions, Stored};
use narrows_files::{FileOptions, Fit, Kind, ReadDataset, read_pictures, recognise};
use tempfile::TempDir;

use super::common::{cells, file, shared};

fn picture(folder: &TempDir, name: &str, image: impl Into<DynamicImage>, format: ImageFormat) {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    file(folder, name, &bytes.into_inner());
}

fn png(folder: &TempDir, name: &str, image: impl Into<DynamicImage>) {
    picture(folder, name, image, ImageFormat::Png);
}

fn grey(width: u32, height: u32, value: u8) -> GrayImage {
    GrayImage::from_pixel(width, height, Luma([value]))
}

fn read(folder: &TempDir, options: &FileOptions) -> ReadDataset {
    read_pictures(folder.path(), options).unwrap()
}

#[test]
fn sub_folders_are_classes_and_pictures_stand_in_natural_order() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in [("cat/img10.png", 3), ("cat/img2.png", 2), ("dog/a.png", 4), ("cat/deep/x.png", 1)]
    {
        png(&folder, name, grey(3, 2, value));
    }
    file(&folder, "README.txt", b"text");
    file(&folder, "dog/.hidden.png", b"");
    let read = read(&folder, &FileOptions::default());
    assert_eq!(read.names.unwrap(), ["cat/deep/x.png", "cat/img2.png", "cat/img10.png", "dog/a.png"]);
    let labels = read.dataset.labels.unwrap();
    assert_eq!((labels.names, labels.classes), (vec!["cat".to_owned(), "dog".into()], vec![0, 0, 0, 1]));
    assert_eq!(read.dataset.rows.shape(), Shape::image(2, 3, 1));
    let Some(Stored::U8(bytes)) = read.dataset.rows.stored(0, 4) else { panic!("bytes") };
    assert_eq!(bytes, [[1; 6], [2; 6], [3; 6], [4; 6]].concat());
    assert_eq!(read.notes, ["1 file that is no picture is passed over"]);
}

#[test]
fn every_format_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let image = RgbImage::from_fn(5, 4, |x, y| Rgb([x as u8 * 50, y as u8 * 60, 7]));
    let formats = [
        ("a.bmp", ImageFormat::Bmp),
        ("b.png", ImageFormat::Png),
        ("c.ppm", ImageFormat::Pnm),
        ("d.tiff", ImageFormat::Tiff),
        ("e.webp", ImageFormat::WebP),
    ];
    for (name, format) in formats {
        picture(&folder, name, image.clone(), format);
    }
    picture(&folder, "f.jpg", RgbImage::from_pixel(5, 4, Rgb([200, 100, 50])), ImageFormat::Jpeg);
    let read = read(&folder, &FileOptions::default());
    let rows = cells(&*read.dataset.rows);
    let wanted: Vec<f64> = image.as_raw().iter().map(|&byte| f64::from(byte)).collect();
    assert_eq!(rows.len(), 6 * 60);
    for (row, (name, _)) in rows.chunks(60).zip(formats) {
        assert_eq!(row, wanted, "{name}");
    }
    for pixel in rows[300..].chunks(3) {
        assert!(
            (pixel[0] - 200.0).abs() < 4.0 && (pixel[1] - 100.0).abs() < 4.0 && (pixel[2] - 50.0).abs() < 4.0
        );
    }
    for (name, _) in formats {
        let path = folder.path().join(name);
        assert_eq!(recognise(&path).unwrap(), Some(Kind::Pictures), "{name}");
        let one = read_pictures(&path, &FileOptions::default()).unwrap();
        assert_eq!((one.dataset.rows.rows(), one.names.unwrap()), (1, vec![name.to_owned()]));
    }
}

#[test]
fn pictures_of_several_sizes_are_refused_with_their_counts_unless_a_size_is_given() {
    let folder = tempfile::tempdir().unwrap();
    for at in 0..5 {
        png(&folder, &format!("{at}.png"), grey(4, 4, 100));
    }
    let mut wide = grey(12, 4, 0);
    (4..8).for_each(|x| (0..4).for_each(|y| wide.put_pixel(x, y, Luma([200]))));
    png(&folder, "wide.png", wide);
    let message = read_pictures(folder.path(), &FileOptions::default()).err().unwrap().to_string();
    assert!(
        message.ends_with("its 6 pictures have 2 sizes: 5 of 4x4, 1 of 4x12 (height x width) (bring them to one `size`, such as 4x4)"),
        "{message}"
    );
    let with = |fit| {
        let read = read(&folder, &FileOptions { size: Some((4, 4)), fit, ..FileOptions::default() });
        assert_eq!(read.notes, ["1 picture is resized"]);
        cells(&*read.dataset.rows)[5 * 16..].to_vec()
    };
    // The middle, which is bright.
    assert_eq!(with(Fit::Crop), [200.0; 16]);
    // The whole is 4 wide and 1 high, and lies in the middle of black.
    let padded = with(Fit::Pad);
    assert!(padded[..4].iter().all(|&v| v == 0.0) && padded[8..].iter().all(|&v| v == 0.0), "{padded:?}");
    assert!(padded[4] < padded[5] && padded[7] < padded[6] && padded[5] > 100.0, "{padded:?}");
    let stretched = with(Fit::Stretch);
    assert_eq!(stretched[..4], stretched[12..]);
    assert!(stretched[0] < stretched[1], "{stretched:?}");
}

#[test]
fn transparency_lies_on_white_and_grey_is_colour_among_colours() {
    let folder = tempfile::tempdir().unwrap();
    png(&folder, "1.png", RgbaImage::from_pixel(1, 2, image::Rgba([100, 0, 255, 0])));
    png(&folder, "2.png", RgbaImage::from_pixel(1, 2, image::Rgba([100, 0, 255, 128])));
    png(&folder, "3.png", GrayAlphaImage::from_pixel(1, 2, image::LumaA([10, 255])));
    png(&folder, "4.png", grey(1, 2, 9));
    let colour = read(&folder, &FileOptions::default());
    assert_eq!(colour.dataset.rows.shape(), Shape::image(2, 1, 3));
    let rows = cells(&*colour.dataset.rows);
    // 100 * 128/255 + 127 = 177.2, 127, 255.
    assert_eq!(rows[..3], [255.0; 3]);
    assert_eq!(rows[6..9], [177.0, 127.0, 255.0]);
    assert_eq!((rows[12..15].to_vec(), rows[18..21].to_vec()), (vec![10.0; 3], vec![9.0; 3]));
    assert_eq!(
        colour.notes,
        ["3 pictures with transparency lie on white", "2 grey pictures are read as colour, as others are"]
    );
    let grey = read(&folder, &FileOptions { grey: true, ..FileOptions::default() });
    assert_eq!(grey.dataset.rows.shape(), Shape::image(2, 1, 1));
    assert_eq!(cells(&*grey.dataset.rows)[6..], [9.0, 9.0]);
}

#[test]
fn sixteen_bits_are_numbers_in_single_precision() {
    let folder = tempfile::tempdir().unwrap();
    let deep = ImageBuffer::<Luma<u16>, Vec<u16>>::from_raw(2, 2, vec![0, 1, 300, 65535]).unwrap();
    png(&folder, "1.png", deep);
    png(&folder, "2.png", grey(2, 2, 2));
    let read = read(&folder, &FileOptions::default());
    assert_eq!(cells(&*read.dataset.rows), [0.0, 1.0, 300.0, 65535.0, 514.0, 514.0, 514.0, 514.0]);
    assert_eq!(read.dataset.rows.element(), narrows::data::Element::F32);
    assert_eq!(read.notes, ["1 picture of 8 bits is brought to the 16 bits of others"]);
    let padded = FileOptions { size: Some((4, 2)), fit: Fit::Pad, ..FileOptions::default() };
    let read = read_pictures(folder.path().join("1.png"), &padded).unwrap();
    assert_eq!(cells(&*read.dataset.rows), [0.0, 0.0, 0.0, 1.0, 300.0, 65535.0, 0.0, 0.0]);
}

/// A JPEG 16 pixels wide and 8 high, bright on the left, whose EXIF data ask for a turn to the right: bright at the top.
#[test]
fn pictures_are_turned_as_their_exif_data_say() {
    let folder = tempfile::tempdir().unwrap();
    let left = GrayImage::from_fn(16, 8, |x, _| Luma([if x < 8 { 240 } else { 10 }]));
    let mut plain = Cursor::new(Vec::new());
    DynamicImage::from(left).write_to(&mut plain, ImageFormat::Jpeg).unwrap();
    let plain = plain.into_inner();
    // One entry: orientation (0x112), a short, 6.
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0".to_vec();
    exif.extend([0x12, 0x01, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]);
    let mut turned = vec![0xff, 0xd8, 0xff, 0xe1];
    turned.extend((exif.len() as u16 + 2).to_be_bytes());
    turned.extend(exif);
    turned.extend(&plain[2..]);
    file(&folder, "turned.jpg", &turned);
    let read = read(&folder, &FileOptions::default());
    assert_eq!(read.dataset.rows.shape(), Shape::image(16, 8, 1));
    let row = cells(&*read.dataset.rows);
    assert!(row[0] > 200.0 && row[7] > 200.0 && row[127] < 50.0, "{row:?}");
    assert_eq!(read.notes, ["1 picture is turned as its EXIF data say"]);
}

#[test]
fn damaged_pictures_bombs_and_folders_without_pictures_are_refused() {
    let refusal =
        |folder: &TempDir| read_pictures(folder.path(), &FileOptions::default()).err().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    assert!(refusal(&folder).contains("a folder without pictures"));
    png(&folder, "a.png", grey(40, 40, 1));
    let whole = std::fs::read(folder.path().join("a.png")).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x41;
        file(&folder, "a.png", &bytes);
        let _ = read_pictures(folder.path(), &FileOptions::default());
    }
    file(&folder, "a.png", &whole[..whole.len() / 2]);
    assert!(refusal(&folder).contains("a.png: damaged"), "{}", refusal(&folder));
    file(&folder, "a.png", b"text");
    assert!(refusal(&folder).contains("does not begin as a picture"), "{}", refusal(&folder));
    // A PPM of 4 billion pixels, in 20 bytes.
    file(&folder, "a.png", &whole);
    file(&folder, "bomb.ppm", b"P6\n65000 65000\n255\n ");
    assert!(refusal(&folder).contains("bomb.ppm"), "{}", refusal(&folder));
    let mixed = tempfile::tempdir().unwrap();
    png(&mixed, "a.png", grey(1, 1, 1));
    png(&mixed, "class/b.png", grey(1, 1, 1));
    assert!(
        refusal(&mixed).contains("1 of its 2 pictures lie in the folder itself, the others in sub-folders")
    );
}

#[test]
fn texts_that_begin_as_pictures_are_no_pictures() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["BMI,age\n1,2\n", "P1,P2\n3,4\n", ""] {
        let path = file(&folder, "table.csv", text.as_bytes());
        assert_eq!(recognise(&path).unwrap(), None, "{text}");
    }
    assert_eq!(recognise(Path::new("absent")).unwrap(), None);
}

#[test]
fn faces_written_as_pictures_are_the_rows_of_their_array() {
    let Some(source) = shared("images/olivetti") else { return };
    let bytes = std::fs::read(source.join("faces-400x64x64-u8.npy")).unwrap();
    let faces = narrows::data::read_bytes("faces", &bytes, Format::Npy, &OpenOptions::default()).unwrap();
    let wanted = cells(&*faces.rows);
    let folder = tempfile::tempdir().unwrap();
    for (at, face) in wanted.chunks(64 * 64).enumerate() {
        let pixels = face.iter().map(|&value| value as u8).collect();
        // Ten pictures of each person, one after the other.
        png(&folder, &format!("p{}/{}.png", at / 10, at % 10), GrayImage::from_raw(64, 64, pixels).unwrap());
    }
    let read = read(&folder, &FileOptions::default());
    assert_eq!(read.dataset.rows.shape(), Shape::image(64, 64, 1));
    assert!(cells(&*read.dataset.rows) == wanted);
    assert_eq!(read.dataset.labels.unwrap().names.len(), 40);
}
