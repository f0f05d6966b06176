// Package stateset signs, seals, pushes, pulls and verifies events of Stateset, with the standard library alone.
//
// Start with [Client] and [Agent]. Every error is an [*Error] with a Kind for what can be done about it and a Code; codes are
// the same in every library.
package stateset
