package sm3

// MaxLanes is the widest multi-lane form.
const MaxLanes = 16

// Lanes is the state of PBKDF2's inner loop in up to MaxLanes independent
// lanes: word i of lane l stands in [i][l]. Each lane has its own key, because
// an attacker's lanes try different passwords.
type Lanes struct {
	Inner, Outer, U, T [8][MaxLanes]uint32
}

// SetKey gives lane its key.
func (l *Lanes) SetKey(lane int, k *Key) {
	for i := range k.Inner {
		l.Inner[i][lane], l.Outer[i][lane] = k.Inner[i], k.Outer[i]
	}
}

// Start gives lane its first value, U_1 = T_1.
func (l *Lanes) Start(lane int, u *[8]uint32) {
	for i, v := range u {
		l.U[i][lane], l.T[i][lane] = v, v
	}
}

// Result copies lane's sum to t.
func (l *Lanes) Result(lane int, t *[8]uint32) {
	for i := range t {
		t[i] = l.T[i][lane]
	}
}

// Wipe clears all lanes.
func (l *Lanes) Wipe() { *l = Lanes{} }

// Iterate runs n rounds in the first width lanes; width is one of Widths.
func (l *Lanes) Iterate(width, n int) {
	if width > 1 {
		l.iterateWide(width, n)
		return
	}
	var k Key
	var u, t [8]uint32
	for i := range u {
		k.Inner[i], k.Outer[i], u[i], t[i] = l.Inner[i][0], l.Outer[i][0], l.U[i][0], l.T[i][0]
	}
	k.Iterate(&u, &t, n)
	for i := range u {
		l.U[i][0], l.T[i][0] = u[i], t[i]
	}
	k.Wipe()
	u, t = [8]uint32{}, [8]uint32{}
}

// Fit returns the best width for n lanes' worth of work: the widest form that
// is not mostly idle.
func Fit(n int) int {
	best := 1
	for _, w := range Widths() {
		if 2*n > w {
			best = w
		}
	}
	return best
}

// blockLane is BlockLanes for one lane.
func blockLane(st *[8][MaxLanes]uint32, m *[16][MaxLanes]uint32) {
	var s [8]uint32
	var v [16]uint32
	for i := range s {
		s[i] = st[i][0]
	}
	for i := range v {
		v[i] = m[i][0]
	}
	Block(&s, &v)
	for i := range s {
		st[i][0] = s[i]
	}
}
