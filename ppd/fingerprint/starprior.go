package fingerprint

// What is common to all fingers, so that it need not tell a right helper from a
// wrong one: where minutiae are found and how ridges run there. Counted on
// FVC2002 DB1_B and the U.are.U set, mirrored for left and right hands, smoothed,
// and floored so that no finger is excluded.

// directionPrior gives, for the zone of 70 px a star lies in (row by row from
// the bottom left), how many of 256 code values each sixteenth of a turn gets.
var directionPrior = [25][16]uint8{
	{8, 17, 32, 17, 14, 21, 18, 8, 5, 10, 28, 30, 19, 11, 9, 9},
	{15, 21, 27, 13, 17, 22, 18, 11, 8, 10, 20, 22, 18, 13, 9, 12},
	{16, 20, 21, 11, 11, 21, 20, 16, 12, 11, 17, 20, 20, 17, 11, 12},
	{11, 18, 22, 17, 13, 27, 21, 15, 12, 9, 13, 18, 22, 20, 10, 8},
	{8, 18, 21, 14, 17, 32, 17, 8, 9, 9, 11, 19, 30, 28, 10, 5},
	{10, 16, 34, 20, 11, 9, 6, 4, 5, 14, 41, 41, 23, 11, 5, 6},
	{10, 17, 32, 21, 15, 12, 9, 6, 6, 10, 26, 35, 27, 15, 8, 7},
	{10, 13, 19, 16, 16, 19, 13, 10, 8, 11, 23, 28, 28, 23, 11, 8},
	{6, 9, 12, 15, 21, 32, 17, 10, 7, 8, 15, 27, 35, 26, 10, 6},
	{4, 6, 9, 11, 20, 34, 16, 10, 6, 5, 11, 23, 41, 41, 14, 5},
	{7, 17, 36, 22, 6, 4, 4, 4, 5, 20, 52, 49, 16, 6, 4, 4},
	{10, 18, 27, 22, 9, 6, 5, 5, 6, 16, 37, 47, 25, 10, 6, 7},
	{10, 10, 13, 15, 15, 13, 10, 10, 10, 14, 23, 33, 33, 23, 14, 10},
	{5, 5, 6, 9, 22, 27, 18, 10, 7, 6, 10, 25, 47, 37, 16, 6},
	{4, 4, 4, 6, 22, 36, 17, 7, 4, 4, 6, 16, 49, 52, 20, 5},
	{8, 26, 36, 15, 4, 4, 4, 4, 10, 38, 52, 34, 9, 4, 4, 4},
	{20, 30, 29, 12, 5, 4, 5, 6, 14, 31, 36, 28, 12, 7, 7, 10},
	{19, 12, 9, 7, 7, 9, 12, 19, 21, 21, 19, 20, 20, 19, 21, 21},
	{6, 5, 4, 5, 12, 29, 30, 20, 10, 7, 7, 12, 28, 36, 31, 14},
	{4, 4, 4, 4, 15, 36, 26, 8, 4, 4, 4, 9, 34, 52, 38, 10},
	{19, 39, 34, 8, 4, 4, 4, 5, 17, 47, 41, 15, 6, 4, 4, 5},
	{35, 38, 20, 6, 4, 4, 4, 9, 25, 41, 28, 12, 5, 5, 6, 14},
	{31, 12, 6, 4, 4, 6, 12, 31, 33, 23, 12, 7, 7, 12, 23, 33},
	{9, 4, 4, 4, 6, 20, 38, 35, 14, 6, 5, 5, 12, 28, 41, 25},
	{5, 4, 4, 4, 8, 34, 39, 19, 5, 4, 4, 6, 15, 41, 47, 17},
}

// radialPrior weighs a place by its squared distance from the centre, in
// eighths of starRadius².
var radialPrior = [8]int{20, 17, 14, 11, 9, 7, 5, 4}

// zone is the row of directionPrior for a place.
func zone(x, y int) *[16]uint8 {
	at := func(v int) int { return min(4, max(0, (v+175)/70)) }
	return &directionPrior[5*at(y)+at(x)]
}
