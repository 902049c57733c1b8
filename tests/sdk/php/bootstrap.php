<?php

declare(strict_types=1);

/* Loads the client from SDK_DIR and its libraries, as Composer would. Whatever PHP says of them is an error. */

error_reporting(E_ALL);
set_error_handler(static function (int $severity, string $message, string $file, int $line): never {
    throw new ErrorException($message, 0, $severity, $file, $line);
});
require_once 'GuzzleHttp/autoload.php';
spl_autoload_register(static function (string $class): void {
    $file = getenv('SDK_DIR') . '/lib/' . str_replace('\\', '/', substr($class, strlen('Crm\\Client\\'))) . '.php';
    if (str_starts_with($class, 'Crm\\Client\\') && is_file($file)) {
        require_once $file;
    }
});
