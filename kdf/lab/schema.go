package lab

import _ "embed"

// SchemaText is the JSON Schema of a Result, made from the types by
// `go test ./kdf/lab -run Schema -update`.
//
//go:embed schema.json
var SchemaText string
