//! The `geo` library: places on the earth, in degrees.

use super::function::{Function, of};
use super::math::number;
use super::val::Val;
use super::{Cost, Fault, convert};

pub static FUNCTIONS: &[Function] = &[of("geo", "distance", 4, distance)];

/// The mean radius (2a + b) / 3 of the earth, in metres.
const RADIUS: f64 = 6_371_008.8;
const NAME: &str = "geo.distance";
/// Its nine functions of angles, as those of `math`.
const COST: usize = 20;

/// Metres between two places, along the surface of a sphere: latitude and longitude of one, then of the other.
fn distance<'a>(cost: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    cost.charge(COST)?;
    let (from, to) = (place(&args[..2], "first")?, place(&args[2..], "second")?);
    let half = |a: f64, b: f64| libm::sin((b - a) / 2.0);
    let (across, along) = (half(from.latitude, to.latitude), half(from.longitude, to.longitude));
    let square = across * across + libm::cos(from.latitude) * libm::cos(to.latitude) * along * along;
    // Rounded, it may be a little more than 1 between two places that are opposite to one another.
    Ok(Val::Double(2.0 * RADIUS * libm::asin(square.sqrt().min(1.0))))
}

/// In radians.
struct Place {
    latitude: f64,
    longitude: f64,
}

fn place(args: &[Val<'_>], which: &str) -> Result<Place, Fault> {
    let latitude = degrees(&args[0], which, "latitude", 90.0)?;
    let longitude = degrees(&args[1], which, "longitude", 180.0)?;
    Ok(Place { latitude, longitude })
}

fn degrees(value: &Val<'_>, which: &str, what: &str, most: f64) -> Result<f64, Fault> {
    let degrees = number(NAME, value)?;
    if degrees.abs() <= most {
        Ok(degrees.to_radians())
    } else {
        let degrees = convert::double_text(degrees);
        Err(Fault(format!(
            "the {which} {what} of `{NAME}` is {degrees}, and -{most} to {most} degrees are taken"
        )))
    }
}
