//! Administrative requests that were refused: who is not allowed something and tries it, or tries it too late, is seen.

use std::cell::RefCell;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use crate::caller::Caller;
use crate::error::ApiError;
use crate::router::App;

tokio::task_local! {
    /// Who sent the administrative request that is being answered.
    static ASKER: RefCell<Option<(App, Caller)>>;
}

/// Notes who asks. Costs nothing where [`watch`] is not around the route.
pub(crate) fn asks(app: &App, caller: &Caller) {
    // An error says that nobody watches.
    let _ = ASKER.try_with(|asker| *asker.borrow_mut() = Some((app.clone(), caller.clone())));
}

/// The layer of an administrative operation.
pub(crate) async fn watch(operation: &'static str, request: Request, next: Next) -> Response {
    let watched = async {
        let response = next.run(request).await;
        let asker = ASKER.with(|asker| asker.borrow_mut().take());
        if let (403 | 409, Some((app, caller)), Some(error)) =
            (response.status().as_u16(), asker, response.extensions().get::<ApiError>())
        {
            app.audit.act_refused(operation, &caller, error.code());
        }
        response
    };
    ASKER.scope(RefCell::new(None), watched).await
}
