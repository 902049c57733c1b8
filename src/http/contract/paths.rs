//! The paths of a contract: what the service asks at each request. It is a thousandth of the document.

/// The path templates of a contract, each with its methods, and the paths of the documents served alongside the operations.
pub struct Paths {
    /// Each with its methods for `Allow`.
    templates: Vec<(String, String)>,
    documents: Vec<&'static str>,
}

impl Paths {
    /// Those of operations, each with its methods, and of documents.
    pub(super) fn new(operations: impl Iterator<Item = (String, String)>, documents: Vec<&'static str>) -> Self {
        let of_documents = documents.iter().map(|path| ((*path).to_owned(), "GET, HEAD".to_owned()));
        Self { templates: operations.chain(of_documents).collect(), documents }
    }

    /// Whether the path is that of a document.
    #[must_use]
    pub fn has_document(&self, path: &str) -> bool {
        self.documents.contains(&path)
    }

    /// The template that the path matches, such as `/customers/{customer_id}`.
    #[must_use]
    pub fn route(&self, path: &str) -> Option<&str> {
        self.template(self.place(path))
    }

    /// The methods that the path supports, for `Allow`.
    #[must_use]
    pub fn allowed(&self, path: &str) -> &str {
        self.place(path).and_then(|place| self.templates.get(place)).map_or("", |(_, allow)| allow)
    }

    /// The template at this place.
    #[must_use]
    pub fn template(&self, place: Option<usize>) -> Option<&str> {
        self.templates.get(place?).map(|(template, _)| template.as_str())
    }

    /// The path templates.
    pub fn templates(&self) -> impl Iterator<Item = &str> {
        self.templates.iter().map(|(template, _)| template.as_str())
    }

    /// Which of the [`Self::templates`] the path matches.
    #[must_use]
    pub fn place(&self, path: &str) -> Option<usize> {
        self.templates().position(|template| {
            let (mut template, mut path) = (template.split('/'), path.split('/'));
            loop {
                match (template.next(), path.next()) {
                    (None, None) => return true,
                    (Some(part), Some(actual)) if part == actual || part.starts_with('{') => {}
                    _ => return false,
                }
            }
        })
    }
}
