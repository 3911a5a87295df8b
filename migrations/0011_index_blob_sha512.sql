-- Who asks for a blob by SHA-512 alone (OCI: a mount from anywhere) is answered without reading all blobs.
CREATE INDEX blob_by_sha512 ON blob (sha512) WHERE sha512 IS NOT NULL;
