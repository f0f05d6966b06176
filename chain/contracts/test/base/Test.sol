// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "./Vm.sol";

/// What every test has: the cheat codes, and assertions that say what was found.
abstract contract Test {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    error NotEqual(bytes32 found, bytes32 expected, string what);
    error NotTrue(string what);

    function equal(uint256 found, uint256 expected, string memory what) internal pure {
        equal(bytes32(found), bytes32(expected), what);
    }

    function equal(address found, address expected, string memory what) internal pure {
        equal(bytes32(uint256(uint160(found))), bytes32(uint256(uint160(expected))), what);
    }

    function equal(bytes32 found, bytes32 expected, string memory what) internal pure {
        if (found != expected) revert NotEqual(found, expected, what);
    }

    function isTrue(bool condition, string memory what) internal pure {
        if (!condition) revert NotTrue(what);
    }

    function isFalse(bool condition, string memory what) internal pure {
        if (condition) revert NotTrue(what);
    }

    /// The next call fails with this error, which has no arguments.
    function refused(bytes4 selector) internal {
        vm.expectRevert(abi.encodeWithSelector(selector));
    }

    /// Deploys the bytecode that the deployed profile built (`out`). The tests themselves are compiled quickly, without
    /// optimizer, and are not what they test.
    function deploy(string memory name, bytes memory arguments) internal returns (address deployed) {
        bytes memory code = vm.getCode(string.concat("out/", name, ".sol/", name, ".json"));
        code = bytes.concat(code, arguments);
        assembly ("memory-safe") {
            deployed := create(0, add(code, 32), mload(code))
        }
        isTrue(deployed != address(0), "deployed");
    }

    /// A UUID as it goes on a chain.
    function uuid(uint256 n) internal pure returns (bytes32) {
        return bytes32(bytes16(keccak256(abi.encode("uuid", n))));
    }

    function one(address writer) internal pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = writer;
    }
}
