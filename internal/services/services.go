// Package services is the table of roles and services (clause 10.2): who may
// call what in which state, with the code a refusal carries. docs/roles.md is
// made from it, and the tests of core/mstcc and core/sscc hold both components
// against it cell by cell.
package services

// A Role is who calls. The module has two; NoRole is whoever authenticates as
// neither.
type Role string

// The roles of clause 10.1.
const (
	User          Role = "user"
	Administrator Role = "administrator"
	NoRole        Role = "nobody"
)

// Runs marks a cell in which the service runs. Every other cell is the code of
// the refusal.
const Runs = "runs"

// A Part says which table of the document a service stands in.
type Part int

// The parts: Table 1 of clause 10.2, the basic services of GM/T 0028 7.4.3,
// and what clause 17.1 and the design add.
const (
	Table1 Part = iota + 1
	Basic
	Further
)

// A Service is one row.
type Service struct {
	Name   string
	Part   Part
	By     Role   // who it is for; NoRole = it uses no CSP and needs no role
	Clause string // ids of the catalog
	Does   string
	// cells holds the answer by state for the role it is for; refused is what
	// anybody else gets where that role is served.
	cells   map[string]string
	refused string
}

// Cell returns Runs or the code of the refusal for a caller in a state.
func (s Service) Cell(state string, by Role) string {
	c := s.cells[state]
	if c == Runs && s.By != NoRole && by != s.By {
		return s.refused
	}
	return c
}

// row makes the cells of one service from the states in the component's order.
func row(states []string, answers ...string) map[string]string {
	m := map[string]string{}
	for i, s := range states {
		m[s] = answers[i]
	}
	return m
}
