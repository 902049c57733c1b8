<?php

declare(strict_types=1);

/* Changes that are safe to repeat, with the client that openapi-generator makes. To be copied. */

use Crm\Client\ApiException;
use Crm\Client\Model\ErrorBody;

const PAUSES_MS = [200, 1000, 5000];

/** The error as the service described it; null where the reply was lost or came from something on the way. */
function errorOf(ApiException $refused): ?ErrorBody
{
    $body = $refused->getResponseObject();
    return $body instanceof ErrorBody ? $body : null;
}

/**
 * Makes one change: its request id is set here, and stays the same over all attempts.
 *
 * @template T
 * @param callable(string): T $send
 * @param callable(string): T $read gets the resource by its id where an earlier attempt made the change and only its reply was
 *   lost (409)
 * @return T
 */
function sendOnce(callable $send, callable $read): mixed
{
    $requestId = bin2hex(random_bytes(16));
    foreach (PAUSES_MS as $pause) {
        try {
            return $send($requestId);
        } catch (ApiException $refused) {
            $resource = errorOf($refused)?->getResource();
            if ($refused->getCode() === 409 && $resource !== null) {
                return $read($resource->getId());
            }
            // 0: no reply, or half of one.
            if (!in_array($refused->getCode(), [0, 503], true)) {
                throw $refused;
            }
            usleep($pause * 1000);
        }
    }
    return $send($requestId);
}

/**
 * The version that was read. Names of headers arrive in lower case or not.
 *
 * @param array<string, string[]> $headers
 */
function entityTag(array $headers): string
{
    return array_change_key_case($headers)['etag'][0];
}

/**
 * Changes what was read only if nobody else has changed it since; else reads it again (412).
 *
 * @template T
 * @param callable(): array{T, int, array<string, string[]>} $read
 * @param callable(T, string): T $change gets the resource and its entity tag for `If-Match`, and looks whether the change is
 *   still wanted
 * @return T
 */
function changeUnchanged(callable $read, callable $change): mixed
{
    foreach (PAUSES_MS as $_) {
        [$current, , $headers] = $read();
        try {
            return $change($current, entityTag($headers));
        } catch (ApiException $refused) {
            if ($refused->getCode() !== 412) {
                throw $refused;
            }
        }
    }
    [$current, , $headers] = $read();
    return $change($current, entityTag($headers));
}
