//! `stateset listen`: events of the stream, posted to a program on this machine as webhooks would be.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};
use stateset_webhooks::post::PostError;
use stateset_webhooks::{Delivery, Poster, Secret, Target, TargetPolicy};
use zeroize::Zeroizing;

use crate::context::Context;
use crate::error::{CliError, printable};
use crate::feed::{Feed, Told, Wanted};
use crate::files;
use crate::installation::random;

/// Of the data directory; 0600.
const SECRET_FILE: &str = "listen-secret";
/// Where it goes is the user's own choice.
const POLICY: TargetPolicy = TargetPolicy { allows_private: true };

#[derive(Debug, Args)]
pub struct ListenArgs {
    /// Where to post each event, for example http://localhost:3000/webhooks
    #[arg(long, value_name = "URL")]
    pub forward_to: String,
    /// Only these types, with commas between; order.* stands for all that begin so
    #[arg(long, value_name = "TYPES")]
    pub events: Option<String>,
    /// First sequence number [default: what comes from now on]
    #[arg(long, value_name = "NUMBER")]
    pub from: Option<u64>,
    /// End after so many events
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<u64>,
}

pub fn run(context: &Context, args: &ListenArgs) -> Result<(), CliError> {
    let forward = Forward::new(context, &args.forward_to)?;
    let stream = context.stream()?;
    let wanted = Wanted { from: args.from, event_types: args.events.clone() };
    let mut feed = Feed::open(context, &stream, &wanted)?;
    let file = context.data.path().join(SECRET_FILE);
    context.out.note(&format!(
        "Forwarding to {}. The signing secret stays the same; it is in {}.",
        printable(&args.forward_to),
        file.display()
    ));
    let mut forwarded = 0;
    while args.limit.is_none_or(|limit| forwarded < limit) {
        forward.send(context, &feed.next()?)?;
        forwarded += 1;
    }
    Ok(())
}

/// Posts events to one address.
pub struct Forward {
    poster: Poster,
    target: Target,
    secret: Secret,
}

impl Forward {
    pub fn new(context: &Context, url: &str) -> Result<Self, CliError> {
        // Nothing else is wrong with an address where private ones are allowed.
        let target = Target::parse(url, POLICY).map_err(|_| {
            let expected = "expected http://HOST:PORT/PATH or https, without credentials and fragment";
            CliError::input("BAD_URL", format!("--forward-to {}: {expected}", printable(url)))
        })?;
        Ok(Self { poster: Poster::new(POLICY), target, secret: secret(context)? })
    }

    /// Posts one event once, and says what came of it.
    pub fn send(&self, context: &Context, told: &Told) -> Result<bool, CliError> {
        let envelope = &told.entry["envelope"];
        let (event_type, id) = (&envelope["event_type"], envelope["event_id"].as_str().unwrap_or_default());
        let body = json!({"type": event_type, "timestamp": told.entry["sequenced_at"], "data": told.entry});
        let delivery = Delivery {
            target: self.target.clone(),
            id: id.to_owned(),
            content_type: "application/json",
            body: body.to_string().into_bytes(),
            secrets: vec![self.secret.clone()],
        };
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let posted = self.poster.post(&delivery, i64::try_from(now_s).unwrap_or(i64::MAX));
        report(context, told, event_type, &posted);
        Ok(posted.is_ok())
    }
}

fn report(context: &Context, told: &Told, event_type: &Value, posted: &Result<u16, PostError>) {
    let (status, error) = match posted {
        Ok(status) => (Some(*status), None),
        Err(error) => (error.status(), Some(error.to_string())),
    };
    let value = json!({
        "sequence_number": told.number, "event_type": event_type, "status": status, "error": error,
    });
    let said = match (&error, status) {
        (None, Some(status)) => format!("{status}"),
        (error, _) => format!(
            "{}; it is not tried again by itself (stateset events resend {} --forward-to …)",
            error.clone().unwrap_or_default(),
            told.number
        ),
    };
    let event_type = printable(event_type.as_str().unwrap_or_default());
    context.out.result(&value, &format!("{:>8}  {event_type}  {}", told.number, printable(&said)));
}

/// The secret of this data directory: made once.
fn secret(context: &Context) -> Result<Secret, CliError> {
    let file = context.data.path().join(SECRET_FILE);
    let bad = |error: stateset_webhooks::SignError| {
        CliError::failure("BAD_SECRET", format!("{}: {error}", file.display()))
            .hint("remove the file; the next start makes another secret")
    };
    if file.exists() {
        return Secret::parse(Zeroizing::new(files::read_text(&file)?).trim()).map_err(bad);
    }
    let secret = Secret::new(random()?);
    files::make_private_folder(context.data.path())
        .and_then(|()| files::create(&file, secret.text().as_bytes()))
        .map_err(|error| CliError::io("write", &file, &error))?;
    Ok(secret)
}
