//! The router: picks one route by path, then by method; nothing else decides between 404, 405 and a route.

use std::fmt::Write as _;

use http::{HeaderValue, Method};
use matchit::Params;

use crate::plan::{self, PlanError};

/// A path template with its methods.
pub struct Endpoint {
    /// As in the plan.
    pub template: Box<str>,
    methods: Vec<(Method, usize)>,
    any: Option<usize>,
    /// What `Allow` says.
    pub allow: HeaderValue,
    /// Whether the template ends with the rest of the path, which spans segments.
    pub spans_segments: bool,
}

/// Where a request goes.
pub enum Found<'r> {
    /// To this route; its path parameters, still encoded.
    Route {
        /// Index of the endpoint.
        endpoint: usize,
        /// Index of the route in the plan.
        route: usize,
        /// The path's parameters.
        params: Params<'r, 'r>,
    },
    /// The path is known, the method is not.
    OtherMethod(usize),
    /// Nowhere.
    Nothing,
}

/// All paths of a plan. Finding one costs the same for ten routes and for a thousand.
pub struct Router {
    tree: matchit::Router<usize>,
    endpoints: Vec<Endpoint>,
    allow_any: HeaderValue,
}

impl Router {
    /// Compiles the routes' paths and methods.
    pub fn build(routes: &[plan::Route]) -> Result<Self, PlanError> {
        let mut router = Self {
            tree: matchit::Router::new(),
            endpoints: Vec::new(),
            allow_any: HeaderValue::from_static("OPTIONS"),
        };
        for (index, route) in routes.iter().enumerate() {
            router.add(route, index)?;
        }
        for route in routes {
            router.add_folder(route);
        }
        for endpoint in &mut router.endpoints {
            endpoint.allow = allowed(&endpoint.methods().collect::<Vec<_>>())?;
        }
        let mut known: Vec<&Method> = Vec::new();
        for method in router.endpoints.iter().flat_map(Endpoint::methods) {
            if !known.contains(&method) {
                known.push(method);
            }
        }
        router.allow_any = allowed(&known)?;
        Ok(router)
    }

    fn add(&mut self, route: &plan::Route, index: usize) -> Result<(), PlanError> {
        let place = match self.endpoints.iter().position(|known| *known.template == *route.path) {
            Some(place) => place,
            None => self.add_path(route)?,
        };
        let endpoint = &mut self.endpoints[place];
        let twice = |method: &str| {
            PlanError::new(format!("{}: {method} {} has a route already", route.name, route.path))
        };
        if route.methods.is_empty() && endpoint.any.replace(index).is_some() {
            return Err(twice("any method of"));
        }
        for name in &route.methods {
            let method = Method::from_bytes(name.as_bytes())
                .map_err(|_| PlanError::new(format!("{}: {name:?} is not a method", route.name)))?;
            if endpoint.methods.iter().any(|(known, _)| *known == method) {
                return Err(twice(name));
            }
            endpoint.methods.push((method, index));
        }
        Ok(())
    }

    fn add_path(&mut self, route: &plan::Route) -> Result<usize, PlanError> {
        if !route.path.starts_with('/') {
            return Err(PlanError::new(format!(
                "{}: the path {:?} must start with /",
                route.name, route.path
            )));
        }
        if route.path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(PlanError::new(format!(
                "{}: the path {:?} has a segment `.` or `..`, which no request can have",
                route.name, route.path
            )));
        }
        let place = self.endpoints.len();
        self.tree
            .insert(&*route.path, place)
            .map_err(|error| PlanError::new(format!("{}: {}: {error}", route.name, route.path)))?;
        self.endpoints.push(Endpoint {
            template: route.path.as_str().into(),
            methods: Vec::new(),
            any: None,
            allow: HeaderValue::from_static(""),
            spans_segments: route.path.contains("{*"),
        });
        Ok(place)
    }

    /// Routes the folder itself to its files: `/p/` and `/p` beside `/p/{*rest}`, which is never empty. A
    /// route that has one of these paths of its own keeps it.
    fn add_folder(&mut self, route: &plan::Route) {
        let Some((folder, _)) = route.path.split_once("{*") else { return };
        if !matches!(route.terminal, plan::Terminal::Files { .. }) {
            return;
        }
        let place = self.endpoints.iter().position(|known| *known.template == *route.path);
        for path in [folder, folder.trim_end_matches('/')] {
            if let (false, Some(place)) = (path.is_empty(), place) {
                let _ = self.tree.insert(path, place);
            }
        }
    }

    /// All endpoints, in the order of the plan.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// What `OPTIONS *` answers: the methods of all endpoints.
    pub fn allow_any(&self) -> &HeaderValue {
        &self.allow_any
    }

    /// Where a request goes. `HEAD` goes where `GET` does unless it has a route of its own.
    pub fn find<'r>(&'r self, path: &'r str, method: &Method) -> Found<'r> {
        let Ok(matched) = self.tree.at(path) else { return Found::Nothing };
        let place = *matched.value;
        match self.endpoints[place].route(method) {
            Some(route) => Found::Route { endpoint: place, route, params: matched.params },
            None => Found::OtherMethod(place),
        }
    }
}

impl Endpoint {
    /// The methods that have a route, as the plan lists them.
    pub fn methods(&self) -> impl Iterator<Item = &Method> {
        self.methods.iter().map(|(method, _)| method)
    }

    fn route(&self, method: &Method) -> Option<usize> {
        let exact = |wanted: &Method| {
            self.methods.iter().find(|(known, _)| known == wanted).map(|(_, route)| *route)
        };
        exact(method)
            .or_else(|| if *method == Method::HEAD { exact(&Method::GET) } else { None })
            .or(self.any)
    }
}

fn allowed(methods: &[&Method]) -> Result<HeaderValue, PlanError> {
    let mut text = String::new();
    for method in methods {
        let _ = write!(text, "{method}, ");
        if **method == Method::GET && !methods.contains(&&Method::HEAD) {
            text.push_str("HEAD, ");
        }
    }
    if !methods.contains(&&Method::OPTIONS) {
        text.push_str("OPTIONS");
    }
    HeaderValue::try_from(text.trim_end_matches(", "))
        .map_err(|error| PlanError::new(error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn route(path: &str, methods: &[&str]) -> plan::Route {
        plan::Route {
            name: format!("{methods:?} {path}"),
            path: path.into(),
            methods: methods.iter().map(ToString::to_string).collect(),
            steps: Vec::new(),
            terminal: plan::Terminal::Metrics { format: plan::MetricsFormat::Summary },
            timeout_ms: None,
        }
    }

    fn found(router: &Router, method: &Method, path: &str) -> Option<usize> {
        match router.find(path, method) {
            Found::Route { route, .. } => Some(route),
            _ => None,
        }
    }

    #[test]
    fn the_most_exact_path_wins_whatever_the_order() {
        let router =
            Router::build(&[route("/a/{id}", &["GET"]), route("/a/search", &["GET"])]).unwrap();

        assert_eq!(found(&router, &Method::GET, "/a/search"), Some(1));
        assert_eq!(found(&router, &Method::GET, "/a/other"), Some(0));
    }

    #[test]
    fn a_known_path_with_another_method_names_what_is_allowed() {
        let router =
            Router::build(&[route("/a", &["GET"]), route("/a", &["POST", "QUERY"])]).unwrap();

        let Found::OtherMethod(place) = router.find("/a", &Method::DELETE) else { panic!("found") };
        assert_eq!(router.endpoints()[place].allow, "GET, HEAD, POST, QUERY, OPTIONS");
        assert!(matches!(router.find("/b", &Method::GET), Found::Nothing));
    }

    #[test]
    fn head_goes_where_get_does() {
        let router = Router::build(&[route("/a", &["GET"])]).unwrap();

        assert_eq!(found(&router, &Method::HEAD, "/a"), Some(0));
    }

    #[test]
    fn any_target_allows_the_methods_of_all_paths_once() {
        let routes = [route("/a", &["GET"]), route("/b", &["POST", "GET"]), route("/c", &["HEAD"])];
        let router = Router::build(&routes).unwrap();

        assert_eq!(router.allow_any(), "GET, POST, HEAD, OPTIONS");
    }

    #[test]
    fn a_template_with_a_dot_segment_is_an_error_of_the_plan() {
        assert!(Router::build(&[route("/a/../b", &["GET"])]).is_err());
    }

    #[test]
    fn two_routes_for_one_request_are_refused() {
        assert!(Router::build(&[route("/a", &["GET"]), route("/a", &["GET"])]).is_err());
        assert!(Router::build(&[route("/a/{x}", &["GET"]), route("/a/{y}", &["GET"])]).is_err());
    }
}
