package mont

// A Step sets register To to register From squared N times and multiplied by
// register By, which is another than To.
type Step struct{ To, From, N, By int }

// RootSM2 raises to (p+1)/4 for the prime p of SM2's field, which gives a square
// root of what has one: p mod 4 is 3. The exponent is 2^62·(31 ones, 0, 128 ones,
// 31 zeros, 1 in binary), so runs of ones are made by doubling them. Register 0
// holds the value; the result is register 5 squared RootTail times more. It
// serves every form of the field.
var RootSM2 = [...]Step{
	{1, 0, 1, 0}, // 2 ones
	{2, 1, 2, 1}, // 4
	{3, 2, 4, 2}, // 8
	{4, 3, 8, 3}, // 16
	{4, 4, 8, 3}, // 24
	{3, 4, 4, 2}, // 28
	{3, 3, 2, 1}, // 30
	{3, 3, 1, 0}, // 31
	{4, 3, 1, 0}, // 32
	{5, 3, 33, 4},
	{5, 5, 32, 4},
	{5, 5, 32, 4},
	{5, 5, 32, 4},
	{5, 5, 32, 0},
}

// RootRegisters is how many registers RootSM2 works in, RootTail how often the
// last of them is squared at the end.
const (
	RootRegisters = 6
	RootTail      = 62
)
