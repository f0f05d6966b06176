//! `GET /admin`: the overview as one page. It loads nothing, runs nothing and sends nothing.

use std::fmt::Write as _;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use ves_wire::admin::{AdminOverview, AdminStores};

use crate::admin::{PageParams, overview_of, stores_of};
use crate::error::ApiError;
use crate::health::Places;
use crate::peer::Operator;
use crate::router::App;

/// Nothing but the style in the page itself; no script, no frame, no form.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}\
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:1rem}\
dl div{border:1px solid #ddd;border-radius:.5rem;padding:.6rem .9rem}dt{color:#666;font-size:.85rem}dd{margin:0;font-size:1.3rem}\
table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #eee}\
td.n{text-align:right}code{font-size:.85rem}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181a1b}dl div{border-color:#444}th,td{border-color:#333}dt{color:#999}}";

pub(crate) async fn page(State(app): State<App>, Operator(caller): Operator) -> Result<Response, ApiError> {
    let overview = overview_of(&app, &caller).await?;
    let stores = stores_of(&app, &caller, &PageParams::default()).await?;
    let queue = Places::of_queue(&app).utilization();
    let html = render(&app.sequencer.sequencer_id().to_string(), &queue, &overview, &stores);
    let mut response = Response::new(Body::from(html));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}

fn render(sequencer: &str, queue: &str, overview: &AdminOverview, stores: &AdminStores) -> String {
    let mut out = String::with_capacity(8192);
    let write = |out: &mut String, text: std::fmt::Arguments<'_>| out.write_fmt(text).expect("to a String");
    write(
        &mut out,
        format_args!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width\"><title>Stateset sequencer</title><style>{STYLE}</style>\
             <h1>Stateset sequencer</h1><p><code>{}</code>, version {}</p><dl>",
            Escaped(sequencer),
            env!("CARGO_PKG_VERSION")
        ),
    );
    let activity = overview.last_activity_at.map_or("none".to_owned(), |at| at.0.to_string());
    for (name, value) in [
        ("Events", overview.total_head_sequence.to_string()),
        ("Tenants", overview.tenants.to_string()),
        ("Stores", overview.stores.to_string()),
        ("Active within a day", overview.active_stores24h.to_string()),
        ("Agents", overview.agents.to_string()),
        ("Active API keys", format!("{} of {}", overview.active_api_keys, overview.api_keys)),
        ("Write queue", queue.to_owned()),
        ("Last event", activity),
    ] {
        write(&mut out, format_args!("<div><dt>{}</dt><dd>{}</dd></div>", Escaped(name), Escaped(&value)));
    }
    write(
        &mut out,
        format_args!(
            "</dl><h2>Stores ({} of {})</h2><table><thead><tr><th>Tenant<th>Store<th>Head<th>Committed<th>Last \
             event</tr></thead><tbody>",
            stores.count, stores.total
        ),
    );
    for store in &stores.stores {
        let at = store.last_activity_at.map_or(String::new(), |at| at.0.to_string());
        write(
            &mut out,
            format_args!(
                "<tr><td><code>{}</code><td><code>{}</code><td class=\"n\">{}<td class=\"n\">{}<td>{}</tr>",
                store.tenant_id,
                store.store_id,
                store.head_sequence,
                store.committed_sequence,
                Escaped(&at)
            ),
        );
    }
    out.push_str("</tbody></table></html>");
    out
}

/// Text that can't become markup.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        assert_eq!(Escaped("<a href='x'>\"&").to_string(), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;");
    }
}
