package mstcc

// Delivery returns step 10 of clause 7.1 once more: the user id and public keys
// of the user bound here, for a caller that was killed after the Commit and
// before it could keep them. nil means no user is bound. It is the return of
// the initialisation itself, so it needs no grant (X-07, K-7.1-10).
func (m *Module) Delivery() (*InitResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.bound() {
		return nil, nil
	}
	res := &InitResult{User: m.trust.User, Resumed: true}
	return res, m.fillPubs(res)
}
