-- Sorting what a search found reads names and versions of thousands of documents: from this index alone.
DROP INDEX artifact_by_doc;
CREATE INDEX artifact_by_doc ON artifact (doc, name, version);
