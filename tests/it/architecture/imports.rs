//! Which file uses which, read from the sources without compiling them.
//!
//! A path is followed through re-exports to the file that defines what it names. A method called on a value names no
//! file and is not seen. A `mod`, or a re-export from the module's own folder, says where things are and is no use.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, slice,
};

use proc_macro2::{Spacing, TokenStream, TokenTree};
use syn::{
    Attribute, File, Item, ItemMod, ItemUse, Macro, Meta, UseTree, Visibility,
    visit::{self, Visit},
};

/// Texts by their path under `src/`.
pub type Sources = BTreeMap<String, String>;

/// One file uses another.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub from: String,
    pub to: String,
    /// As it is written.
    pub path: String,
    /// It names a module, and what is then taken from the module makes edges of its own.
    pub of_module: bool,
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} by {}", self.from, self.to, self.path)
    }
}

pub fn edges(sources: &Sources) -> BTreeSet<Edge> {
    let parse = |text: &str, file: &str| syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let files: BTreeMap<&str, File> = sources.iter().map(|(file, text)| (file.as_str(), parse(text, file))).collect();
    let tree = Tree::of(&files);
    let mut edges = BTreeSet::new();
    for (file, parsed) in &files {
        Uses { tree: &tree, file, module: module_of(file), edges: &mut edges }.visit_file(parsed);
    }
    edges
}

/// The names that lead to a module from the root of the crate.
type Module = Vec<String>;

/// One name of a `use`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Import {
    path: Vec<String>,
    /// None takes everything: `*`.
    name: Option<String>,
    public: bool,
}

/// What a path leads to: something in a file, or a module as a whole.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    file: String,
    module: Option<Module>,
}

/// What a module declares.
#[derive(Default)]
struct Scope {
    file: String,
    items: BTreeSet<String>,
    imports: Vec<Import>,
}

/// The modules of the crate, as the files lie: none of ours is placed by `#[path]`.
#[derive(Default)]
struct Tree {
    scopes: BTreeMap<Module, Scope>,
    /// Where the reading stands.
    file: String,
    module: Module,
}

/// The imports that a search has gone through: each once, so that one that leads to itself ends.
type Followed = BTreeSet<(Module, Import)>;

impl Tree {
    fn of(files: &BTreeMap<&str, File>) -> Self {
        let mut tree = Self::default();
        for (path, file) in files {
            (tree.file, tree.module) = ((*path).to_owned(), module_of(path));
            tree.scope();
            tree.visit_file(file);
        }
        tree
    }

    fn scope(&mut self) -> &mut Scope {
        let fresh = || Scope { file: self.file.clone(), ..Scope::default() };
        self.scopes.entry(self.module.clone()).or_insert_with(fresh)
    }

    /// Everything that a path in the module `from` can mean; nothing if it comes from another crate.
    fn resolve(&self, from: &[String], path: &[String], followed: &mut Followed) -> BTreeSet<Target> {
        let (at, rest) = anchor(from, path);
        self.look_up(&at, rest, rest.len() < path.len(), followed)
    }

    /// `certain`: the name is this module's by the path, so if it is not seen, a macro makes it there.
    fn look_up(&self, at: &[String], path: &[String], certain: bool, followed: &mut Followed) -> BTreeSet<Target> {
        let Some(scope) = self.scopes.get(at) else { return BTreeSet::new() };
        let [name, rest @ ..] = path else {
            return [Target { file: scope.file.clone(), module: Some(at.to_vec()) }].into();
        };
        let here = || Target { file: scope.file.clone(), module: None };
        let child = [at, slice::from_ref(name)].concat();
        let mut found = BTreeSet::new();
        if self.scopes.contains_key(&child) {
            found.extend(self.look_up(&child, rest, true, followed));
            if !rest.is_empty() {
                return found;
            }
        }
        if scope.items.contains(name) {
            found.insert(here());
        }
        for import in scope.imports_as(name) {
            if followed.insert((at.to_vec(), import.clone())) {
                found.extend(self.resolve(at, &[&import.path, rest].concat(), followed));
            }
            // Who takes a name from a file that only imports it leans on that file as well.
            if !self.forwards(at, import) {
                found.insert(here());
            }
        }
        if found.is_empty() {
            found.extend(self.look_through_globs(at, scope, path, followed));
        }
        if found.is_empty() && certain {
            found.insert(here());
        }
        found
    }

    fn look_through_globs(
        &self,
        at: &[String],
        scope: &Scope,
        path: &[String],
        followed: &mut Followed,
    ) -> BTreeSet<Target> {
        let mut found = BTreeSet::new();
        for glob in scope.imports.iter().filter(|import| import.name.is_none()) {
            if followed.insert((at.to_vec(), glob.clone())) {
                for module in self.resolve(at, &glob.path, followed).into_iter().filter_map(|target| target.module) {
                    found.extend(self.look_up(&module, path, false, followed));
                }
            }
        }
        found
    }

    /// Whether an import only opens to others what stands in the module's own folder.
    fn forwards(&self, at: &[String], import: &Import) -> bool {
        let (base, rest) = anchor(at, &import.path);
        let whole = [&base, rest].concat();
        let (true, Some(own), Some(name)) = (whole.starts_with(at), whole.get(..=at.len()), whole.get(at.len())) else {
            return false;
        };
        import.public && (self.scopes.contains_key(own) || self.scopes[at].items.contains(name))
    }
}

impl Scope {
    fn imports_as(&self, name: &str) -> impl Iterator<Item = &Import> {
        self.imports.iter().filter(move |import| import.name.as_deref() == Some(name))
    }
}

impl<'ast> Visit<'ast> for Tree {
    fn visit_item(&mut self, item: &'ast Item) {
        let name = match item {
            Item::Const(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Fn(item) => Some(&item.sig.ident),
            Item::Macro(item) => item.ident.as_ref(),
            Item::Static(item) => Some(&item.ident),
            Item::Struct(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            Item::Union(item) => Some(&item.ident),
            _ => None,
        };
        if let Some(name) = name {
            self.scope().items.insert(name.to_string());
        }
        visit::visit_item(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.scope().imports.extend(imports_of(item));
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.content.is_some() {
            self.module.push(item.ident.to_string());
            self.scope();
            visit::visit_item_mod(self, item);
            self.module.pop();
        }
    }
}

/// Collects the edges of one file.
struct Uses<'a> {
    tree: &'a Tree,
    file: &'a str,
    module: Module,
    edges: &'a mut BTreeSet<Edge>,
}

impl Uses<'_> {
    fn path(&mut self, path: &[String]) {
        let targets = self.targets(path);
        // If a `use` brought the item here, that is the edge, and tells more than the item's name.
        let told = |import: &Import| {
            !self.tree.forwards(&self.module, import) && targets.is_subset(&self.targets(&import.path))
        };
        if !self.tree.scopes[&self.module].imports_as(&path[0]).any(told) {
            self.record(targets, &path.join("::"), false);
        }
    }

    /// What a path leads to in other files.
    fn targets(&self, path: &[String]) -> BTreeSet<Target> {
        let mut targets = self.tree.resolve(&self.module, path, &mut Followed::new());
        targets.retain(|target| target.file != self.file);
        targets
    }

    fn record(&mut self, targets: BTreeSet<Target>, path: &str, takes_all: bool) {
        for Target { file, module } in targets {
            let of_module = module.is_some() && !takes_all;
            self.edges.insert(Edge { from: self.file.to_owned(), to: file, path: path.to_owned(), of_module });
        }
    }

    fn tokens(&mut self, tokens: TokenStream) {
        let mut paths = Vec::new();
        paths_in(tokens, &[], &mut paths);
        paths.iter().for_each(|path| self.path(path));
    }
}

impl<'ast> Visit<'ast> for Uses<'_> {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        for import in imports_of(item) {
            if !self.tree.forwards(&self.module, &import) {
                let all = if import.name.is_none() { "::*" } else { "" };
                let path = import.path.join("::") + all;
                self.record(self.targets(&import.path), &path, import.name.is_none());
            }
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.path(&names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invoked: &'ast Macro) {
        self.visit_path(&invoked.path);
        self.tokens(invoked.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
    }

    /// `pub(in some::module)` says who may use, and uses nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

fn module_of(file: &str) -> Module {
    let mut module: Module = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if file == "lib.rs" || file.ends_with("/mod.rs") {
        module.pop();
    }
    module
}

/// The module at which a path starts, and what is left of the path. The binary knows the library as `crm`.
fn anchor<'p>(from: &[String], path: &'p [String]) -> (Module, &'p [String]) {
    let (mut at, mut rest) = (from.to_vec(), path);
    while let [first, others @ ..] = rest {
        match first.as_str() {
            "crate" => at.clear(),
            "crm" if from == ["main"] => at.clear(),
            "super" => drop(at.pop()),
            "self" => {}
            _ => break,
        }
        rest = others;
    }
    (at, rest)
}

fn imports_of(item: &ItemUse) -> Vec<Import> {
    let mut names = Vec::new();
    if item.leading_colon.is_none() {
        flatten(&item.tree, &[], &mut names);
    }
    let public = !matches!(item.vis, Visibility::Inherited);
    names.into_iter().map(|(path, name)| Import { path, name, public }).collect()
}

fn flatten(tree: &UseTree, prefix: &[String], names: &mut Vec<(Vec<String>, Option<String>)>) {
    let path =
        |name: &syn::Ident| if name == "self" { prefix.to_vec() } else { [prefix, &[name.to_string()]].concat() };
    match tree {
        UseTree::Path(tree) => flatten(&tree.tree, &[prefix, &[tree.ident.to_string()]].concat(), names),
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, prefix, names)),
        UseTree::Glob(_) => names.push((prefix.to_vec(), None)),
        UseTree::Name(tree) => names.push((path(&tree.ident), path(&tree.ident).pop())),
        UseTree::Rename(tree) => names.push((path(&tree.ident), Some(tree.rename.to_string()))),
    }
}

/// The paths in the tokens of a macro or an attribute, also those that are a string (`with = "crate::…"`). A lone
/// name in small letters is left out: it can be a variable or a field.
fn paths_in(tokens: TokenStream, prefix: &[String], paths: &mut Vec<Vec<String>>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut rest = tokens.as_slice();
    while let [token, others @ ..] = rest {
        rest = match (token, others) {
            (TokenTree::Group(group), _) => {
                paths_in(group.stream(), &[], paths);
                others
            }
            (TokenTree::Literal(literal), _) => {
                let text = literal.to_string();
                if text.contains("::") && !text.contains(' ') {
                    paths_in(text.trim_matches('"').parse().unwrap_or_default(), &[], paths);
                }
                others
            }
            (TokenTree::Ident(name), _) => {
                let mut path = [prefix, &[name.to_string()]].concat();
                let after = continued(others, &mut path, paths);
                if path.len() > 1 || path[0].starts_with(char::is_uppercase) {
                    paths.push(path);
                }
                after
            }
            // After `..` a path can start.
            (TokenTree::Punct(one), [two, after @ ..]) if one.as_char() == '.' && is(two, '.') => after,
            // A path of another crate; a field or a method, a lifetime, a variable of a macro.
            (TokenTree::Punct(one), [two, TokenTree::Ident(_), after @ ..]) if one.as_char() == ':' && is(two, ':') => {
                continued(after, &mut Vec::new(), &mut Vec::new())
            }
            (TokenTree::Punct(mark), [TokenTree::Ident(name), after @ ..])
                if matches!(mark.as_char(), '.' | '\'' | '$') && name != "crate" =>
            {
                continued(after, &mut Vec::new(), &mut Vec::new())
            }
            _ => others,
        };
    }
}

fn is(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

/// Reads the rest of a path into `path`, and the paths of a group at its end into `paths`; what follows is left.
fn continued<'t>(mut rest: &'t [TokenTree], path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) -> &'t [TokenTree] {
    while let [TokenTree::Punct(one), two, next, others @ ..] = rest {
        // Two colons with a space between them are not `::`.
        if !(one.as_char() == ':' && one.spacing() == Spacing::Joint && is(two, ':')) {
            break;
        }
        match next {
            TokenTree::Ident(name) => path.push(name.to_string()),
            TokenTree::Group(group) => paths_in(group.stream(), path, paths),
            _ => break,
        }
        rest = others;
    }
    rest
}
